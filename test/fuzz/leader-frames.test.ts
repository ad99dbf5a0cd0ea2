/**
 * Hostile frames at the zygote and at leaders in every phase, under the sanitizers of the compiler.
 * FUZZ_FRAMES and FUZZ_SEED widen and repeat a run. Runs in: test, as root in the lab.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as leader from '../../pam/leader-protocol.ts';
import * as zygote from '../../pam/zygote-protocol.ts';
import { SeqpacketLink, socketPair } from '../../src/base/link.native.ts';
import { closeDescriptor } from '../../src/base/socket.native.ts';
import type { Call } from '../../src/ssh/wire/call.ts';
import { type AnyFields, encodeFields, type Values } from '../../src/ssh/wire/field.ts';
import { Peer } from '../../src/ssh/wire/peer.ts';
import { checkout, inLab, makeUser, run } from '../support/lab.ts';
import { order, until } from '../support/leader-driver.ts';

const lab = inLab(import.meta.url, 300_000);
const frameCount = Number(process.env.FUZZ_FRAMES ?? 1000);
const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const exitMalformed = 65;
const reports = '/tmp/sanitizer';

/** xorshift32: the same run for the same seed. */
class Dice {
  #state: number;
  constructor(start: number) {
    this.#state = start | 1;
  }
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }
}

function frame<Q extends AnyFields>(call: Call<Q, AnyFields>, values: Values<Q>, id = 7): Buffer {
  const head = Buffer.alloc(5, call.number);
  head.writeUInt32BE(id, 1);
  return Buffer.concat([head, encodeFields(call.request, values)]);
}

const extremes = [0, 1, 0x7f, 0xffff, 0x1ffff, 0x20001, 0x7fffffff, 0x80000000, 0xffffffff];

function mutate(original: Buffer, dice: Dice): Buffer {
  let bytes = Buffer.from(original);
  for (let rounds = 1 + dice.below(3); rounds > 0; rounds--) {
    const at = dice.below(bytes.length);
    switch (dice.below(6)) {
      case 0:
        bytes[at] = (bytes[at] as number) ^ (1 << dice.below(8));
        break;
      case 1:
        bytes[at] = dice.below(256);
        break;
      case 2:
        if (bytes.length >= at + 4) {
          bytes.writeUInt32BE(extremes[dice.below(extremes.length)] as number, at);
        }
        break;
      case 3:
        bytes = bytes.subarray(0, Math.max(1, at));
        break;
      case 4:
        bytes = Buffer.concat([bytes, Buffer.alloc(1 + dice.below(64), dice.below(256))]);
        break;
      default: {
        const piece = bytes.subarray(at, at + dice.below(16));
        bytes = Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
      }
    }
  }
  return bytes;
}

/** A link spoken to in raw frames. */
class RawLink {
  readonly #link: SeqpacketLink;
  #arrived = Promise.withResolvers<void>();
  hasEnded = false;

  constructor(descriptor: number) {
    this.#link = new SeqpacketLink(descriptor);
    this.#link.onFrame = (_frame, descriptors) => {
      descriptors.forEach(closeDescriptor);
      this.#arrived.resolve();
    };
    this.#link.onEnd = () => {
      this.hasEnded = true;
      this.#arrived.resolve();
    };
  }

  /** Sends a frame and waits until something comes back, the link ends, or nothing happens. */
  async send(bytes: Buffer, descriptors: readonly number[] = []): Promise<void> {
    this.#arrived = Promise.withResolvers<void>();
    this.#link.send(Buffer.from(bytes), descriptors); // a sent frame is erased
    const patience = new AbortController();
    const waited = delay(250, undefined, { signal: patience.signal }).catch(() => undefined);
    await Promise.race([this.#arrived.promise, waited]);
    patience.abort();
  }

  close(): void {
    this.#link.close();
  }
}

function startZygote(executable: string): { process: ChildProcess; descriptor: number } {
  const [ours, theirs] = socketPair();
  const child = spawn(executable, ['-z'], {
    env: {},
    stdio: ['ignore', 'ignore', 'ignore', theirs],
  });
  closeDescriptor(theirs);
  return { process: child, descriptor: ours };
}

function reported(): string {
  const files = existsSync(reports) ? readdirSync(reports) : [];
  return files.map((name) => readFileSync(path.join(reports, name), 'utf8')).join('\n');
}

describe(`mutated frames (seed ${seed})`, lab, () => {
  const executable = '/tmp/leader-sanitized';

  before(() => {
    makeUser('alice');
    mkdirSync(reports, { mode: 0o777 });
    chmodSync(reports, 0o777);
    mkdirSync('/run/fuzz');
    const folder = path.join(checkout, 'pam/leader');
    const sources = readdirSync(folder).filter((name) => name.endsWith('.c'));
    run('cc', [
      ...['-D_GNU_SOURCE', '-std=gnu11', '-g', '-O1', '-fno-omit-frame-pointer'],
      ...['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'],
      ...sources.map((name) => path.join(folder, name)),
      ...['-o', '/tmp/leader-bare', '-lpam', '-lcrypt'],
    ]);
    // The zygote empties its environment; the sanitizers have read theirs by then.
    const options = `log_path=${reports}/report:detect_leaks=0:exitcode=99`;
    writeFileSync(
      executable,
      `#!/bin/sh\nASAN_OPTIONS=${options} UBSAN_OPTIONS=${options}:print_stacktrace=1 exec /tmp/leader-bare "$@"\n`,
    );
    chmodSync(executable, 0o755);
  });
  after(() => {
    run('sh', ['-c', 'rm -rf /run/fuzz']);
  });

  const begin = {
    ...{ user: 'alice', service: '', rhost: '::1', tty: 'ssh', connection: 'a 1 b 2' },
    loggedAs: 'sshd[1]',
  };
  const text = Buffer.from('some text');
  const answer = Buffer.concat([
    Buffer.from([leader.Answer.number, 0, 0, 0, 0]),
    encodeFields(leader.Answer.fields, { abort: false, answers: [text] }),
  ]);
  const start = (kind: number): Buffer => frame(leader.Begin, { ...begin, kind });
  const enter = frame(leader.Establish, { tty: 'ssh', authInfo: 'password', root: '' });
  const enterRoot = frame(leader.Establish, {
    ...{ tty: 'ssh', authInfo: '', root: '/srv/../tmp/./x' },
  });
  const authenticate = (mode: number): Buffer =>
    frame(leader.Authenticate, { mode, password: text, allowEmpty: false, refused: false });
  const run1 = (stdio: number): Buffer =>
    frame(leader.Spawn, {
      ...order('exit 3', { stdio, modes: Buffer.from([3, 0, 0, 0, 8, 0]), stderrText: text }),
      reportDescriptor: true,
      isSftpServer: false,
      before: [
        { exists: '/none', file: '/bin/true', arguments: [text], input: text },
        { exists: '', file: '/bin/cat', arguments: [Buffer.from('cat')], input: text },
      ],
    });
  const desktop = frame(leader.DesktopBegin, {
    id: 'X'.repeat(32),
    directory: '/run/fuzz/desktop',
    startedAt: 'now',
    xauthority: text,
    hasAgent: true,
  });

  const x11 = { offset: 10, loopbackOnly: true, family: 0, keepsNumber: true, xauth: '/bin/sh' };
  const undo = {
    display: 10,
    file: '/bin/cat',
    arguments: [Buffer.from('cat')],
    input: text,
    environment: [Buffer.from('A=b')],
  };

  /** What has to be said before, and what is spoiled then. */
  const scripts: readonly (readonly [before: readonly Buffer[], spoiled: readonly Buffer[]])[] = [
    [[], [start(0), start(1), enter, enterRoot, frame(leader.End, { graceMs: 0 })]],
    [
      [start(0)],
      [
        authenticate(1),
        frame(leader.Account, { authInfo: 'password' }),
        enter,
        frame(leader.ChangePassword, {}),
      ],
    ],
    [
      [start(0)],
      [
        frame(leader.RunCommand, {
          user: 'alice',
          file: '/bin/true',
          arguments: [text],
          maxBytes: 65_536,
          timeoutMs: 10_000,
        }),
      ],
    ],
    [
      [start(0), authenticate(0)],
      [answer, answer, frame(leader.Account, { authInfo: 'password' })],
    ],
    [[start(0)], [frame(leader.RecordFailure, { user: text, isWritten: true })]],
    [
      [start(0), enter],
      [frame(leader.LastLogin, {}), frame(leader.AuthInfoFile, { content: text })],
    ],
    [
      [start(0), enter],
      [
        run1(leader.stdio.pipes),
        run1(leader.stdio.pty),
        run1(leader.stdio.log),
        frame(leader.ReadFile, { path: '/etc/passwd', strict: true, maxBytes: 65_536 }),
        frame(leader.ConnectUnix, { path: '/run/fuzz/none', notBelow: '' }),
        frame(leader.ConnectUnix, { path: '/run/fuzz/none', notBelow: '/run' }),
        frame(leader.LogTail, { handle: 1, maxBytes: 100 }),
        frame(leader.Signal, { handle: 1, signal: 10 }),
        frame(leader.WriteFiles, {
          below: 'nx',
          files: [{ name: 'options', content: Buffer.from('x') }],
        }),
        frame(leader.SignalProcess, { handle: 1, signal: 1 }),
        frame(leader.WatchWindows, { socketPath: '/run/fuzz/none', cookie: text, timeoutMs: 20 }),
        frame(leader.ConnectTcp, { host: '127.0.0.1', port: 9, family: 0, patienceMs: 50 }),
        frame(leader.ListenTcp, { where: 1, address: '', port: 0, family: 0 }),
        frame(leader.ListenTcp, { where: 0, address: 'localhost', port: 0, family: 4 }),
        frame(leader.ListenUnix, {
          path: '/tmp/fuzz.sock',
          mask: 0o177,
          unlinkFirst: true,
          notBelow: '/run',
        }),
        frame(leader.CloseListener, { listener: 1 }),
        frame(leader.AgentListen, {}),
        frame(leader.X11Listen, x11),
        frame(leader.X11Undo, undo),
        frame(leader.X11Close, { display: 10 }),
      ],
    ],
    [
      [start(1), enter, desktop],
      [
        desktop,
        run1(leader.stdio.log),
        frame(leader.DesktopNote, { note: text }),
        frame(leader.DesktopDescribe, {}),
        frame(leader.AgentWatch, {}),
        frame(leader.AgentTake, { socket: 1 }),
        frame(leader.AgentDone, { socket: 1 }),
        frame(leader.DisplaySize, { socketPath: '/run/fuzz/none' }),
        frame(leader.LogTail, { handle: 1, maxBytes: 100 }),
      ],
    ],
    [[start(1), enter], [desktop]],
  ];

  test(`${frameCount} at leaders: each ends in order, and no sanitizer complains`, async (t) => {
    const dice = new Dice(seed);
    const { process: child, descriptor } = startZygote(executable);
    const peer = new Peer(new SeqpacketLink(descriptor), { closeDescriptor });
    t.after(() => peer.close());
    const statuses = new Map<number, number>();
    peer.onNotice(zygote.ChildEnded, ({ pid, status }) => void statuses.set(pid, status));
    let sent = 0;
    const pids: number[] = [];
    while (sent < frameCount) {
      const [before, spoiled] = scripts[dice.below(scripts.length)] as (typeof scripts)[number];
      const [ours, theirs] = socketPair();
      const link = new RawLink(ours);
      const { values } = await peer.call(zygote.ForkLeader, { title: 'fuzz' }, [theirs]);
      pids.push(values.pid);
      for (const good of before) {
        await link.send(good);
      }
      // Several on one leader, as long as it takes them for well formed.
      for (let i = 0; i < 8 && !link.hasEnded && sent < frameCount; i++) {
        await link.send(mutate(spoiled[dice.below(spoiled.length)] as Buffer, dice));
        sent++;
      }
      if (!link.hasEnded) {
        await link.send(frame(leader.End, { graceMs: 0 }, 9));
      }
      link.close();
      await until(() => statuses.has(values.pid), `leader ${values.pid} has ended`, 10_000);
    }
    for (const pid of pids) {
      const status = statuses.get(pid) as number;
      assert.equal(status & 0x7f, 0, `leader ${pid} was ended by a signal: ${reported()}`);
      assert.ok([0, exitMalformed].includes(status >> 8), `exit ${status >> 8}: ${reported()}`);
    }
    assert.equal(child.exitCode, null);
    assert.equal(reported(), '');
  });

  test(`${Math.ceil(frameCount / 10)} at the zygote`, async () => {
    const dice = new Dice(seed + 1);
    const list = [Buffer.from('/bin/true')];
    const good = [
      frame(zygote.ForkLeader, { title: 'x' }),
      frame(zygote.Bind, { address: '127.0.0.1', port: 0 }),
      frame(zygote.KillChild, { pid: 2 ** 31 - 2, signal: 10 }),
      frame(zygote.StartWorker, {
        arguments: list,
        environment: list,
        readOnly: ['/usr'],
        directory: '/',
        uid: 64_123,
        gid: 64_123,
        relaxed: false,
      }),
    ];
    for (let sent = 0; sent < frameCount / 10; ) {
      const { process: child, descriptor } = startZygote(executable);
      const ended = Promise.withResolvers<number | null>();
      child.on('exit', (code) => ended.resolve(code));
      const link = new RawLink(descriptor);
      for (let i = 0; i < 10 && !link.hasEnded; i++) {
        const [a, b] = socketPair();
        const descriptors = dice.below(3) === 0 ? [] : [a, b];
        if (descriptors.length === 0) {
          closeDescriptor(a);
          closeDescriptor(b);
        }
        await link.send(mutate(good[dice.below(good.length)] as Buffer, dice), descriptors);
        sent++;
      }
      link.close();
      const code = await ended.promise;
      assert.ok(code === 0 || code === exitMalformed, `exit ${code}: ${reported()}`);
    }
    assert.equal(reported(), '');
  });

  test('a frame that is too long ends the zygote', () => {
    // Our own links refuse to send one.
    const script = `
import os, socket, subprocess
place = open('/dev/null') # descriptor 3
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
os.dup2(theirs.fileno(), 3)
child = subprocess.Popen(['${executable}', '-z'], pass_fds=[3], stderr=subprocess.DEVNULL)
ours.send(b'\\x01' * (128 * 1024 + 1))
print(child.wait(10))`;
    assert.equal(run('python3', ['-c', script]), `${exitMalformed}\n`);
  });
});
