/**
 * The agent socket of a desktop's leader: what it answers by itself, whom it tells, what hostile
 * programs in the desktop get. Runs in: test, as root in the lab.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { connect, Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { LeaderClient } from '../../pam/leader-client.ts';
import { SeqpacketLink } from '../../src/base/link.native.ts';
import { closeDescriptor, connectSeqpacket } from '../../src/base/socket.native.ts';
import { CallFailure, Peer } from '../../src/ssh/wire/peer.ts';
import { inLab, type LabUser, makeUser } from '../support/lab.ts';
import { type DrivenLeader, until, ZygoteDriver } from '../support/leader-driver.ts';

const lab = inLab(import.meta.url);
const ENOENT = 2;
const failure = Buffer.from([0, 0, 0, 1, 5]);
/** SSH_AGENTC_REQUEST_IDENTITIES */
const request = Buffer.from([0, 0, 0, 1, 11]);

/** One program's connection to the agent. */
class Client {
  readonly socket: Socket;
  answer = Buffer.alloc(0);
  isOver = false;

  constructor(path: string) {
    this.socket = connect(path);
    this.socket.on('data', (chunk: Buffer) => {
      this.answer = Buffer.concat([this.answer, chunk]);
    });
    // A socket that cannot be had, or is reset, is one that is over.
    this.socket.on('error', () => {});
    this.socket.once('close', () => {
      this.isOver = true;
    });
  }

  async answered(wanted: Buffer): Promise<void> {
    await until(() => this.answer.length >= wanted.length || this.isOver, 'an answer');
    assert.deepEqual(this.answer, wanted);
  }

  async ended(): Promise<void> {
    await until(() => this.isOver, 'the end of a connection');
  }
}

describe("the agent of a desktop's leader", lab, () => {
  let driver: ZygoteDriver;
  let alice: LabUser;
  let bob: LabUser;
  let next = 0;
  const clients: Client[] = [];

  before(() => {
    alice = makeUser('alice');
    bob = makeUser('bob');
    mkdirSync('/run/desktops', { mode: 0o711 });
    driver = new ZygoteDriver();
  });
  after(() => {
    clients.forEach(({ socket }) => socket.destroy());
    driver.close();
  });

  async function desktop(): Promise<{
    readonly leader: DrivenLeader;
    readonly directory: string;
    readonly path: string;
  }> {
    const leader = await driver.fork();
    await leader.enter('alice', '', 1);
    const directory = `/run/desktops/${next++}`;
    await leader.client.desktopBegin({
      id: '0123456789ABCDEF0123456789ABCDEF',
      directory,
      startedAt: '2026-01-02T03:04:05Z',
      xauthority: Buffer.from('none'),
      hasAgent: true,
    });
    return { leader, directory, path: `${directory}/user/agent` };
  }

  function client(path: string): Client {
    const made = new Client(path);
    clients.push(made);
    return made;
  }

  /** Tells a test of the connections that the leader tells of. */
  async function watch(leader: LeaderClient): Promise<number[]> {
    const wanted: number[] = [];
    leader.onAgentWanted = (socket) => wanted.push(socket);
    await leader.agentWatch();
    return wanted;
  }

  test('it is the user’s alone, and there is none unless it was ordered', async () => {
    const { leader, directory, path } = await desktop();
    const { uid, mode } = statSync(path);
    assert.deepEqual([uid, mode & 0o777], [alice.uid, 0o600]);
    assert.equal(statSync(`${directory}/user`).mode & 0o777, 0o700);
    await leader.client.end(0);
    assert.equal(existsSync(directory), false);
    const other = await driver.fork();
    await other.enter('alice', '', 1);
    const values = { id: 'A'.repeat(32), startedAt: '', xauthority: Buffer.alloc(0) };
    await other.client.desktopBegin({ ...values, directory: '/run/desktops/none' });
    assert.deepEqual(readdirSync('/run/desktops/none/user').toSorted(), ['Xauthority', 'run']);
    await other.client.end(0);
  });

  test('with nobody there every request is refused, in whatever pieces it comes', async () => {
    const { leader, path } = await desktop();
    const whole = client(path);
    whole.socket.write(request);
    await whole.answered(failure);
    whole.socket.write(Buffer.concat([request, request]));
    await whole.answered(Buffer.concat([failure, failure, failure]));
    const pieces = client(path);
    const long = Buffer.alloc(256 * 1024 + 4, 13);
    long.writeUInt32BE(256 * 1024);
    for (const part of [long.subarray(0, 2), long.subarray(2, 4), long.subarray(4, 70_000)]) {
      pieces.socket.write(part);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(pieces.answer.length, 0);
    pieces.socket.end(long.subarray(70_000));
    await pieces.answered(failure);
    await pieces.ended();
    await leader.client.end(0);
    await whole.ended();
  });

  test('a length of 4 GiB, of nothing, or of more than an agent takes ends the connection', async () => {
    const { leader, path } = await desktop();
    for (const length of [0xffff_ffff, 0, 256 * 1024 + 1]) {
      const bad = client(path);
      const head = Buffer.alloc(5);
      head.writeUInt32BE(length);
      bad.socket.write(head);
      await bad.ended();
      assert.equal(bad.answer.length, 0);
    }
    await leader.client.end(0);
  });

  test('a thousand that say half a request lock nobody out', async () => {
    const { leader, path } = await desktop();
    const many = Array.from({ length: 1000 }, () => {
      const half = client(path);
      half.socket.write(request.subarray(0, 3));
      return half;
    });
    let honest = client(path);
    await until(
      () => {
        if (honest.isOver) {
          honest = client(path); // the backlog of the kernel was full
        }
        if (!honest.socket.writableEnded) {
          honest.socket.end(request);
        }
        return honest.answer.equals(failure);
      },
      'an answer',
      60_000,
    );
    const held = readdirSync(`/proc/${leader.client.pid}/fd`).length;
    assert.ok(held < 64 + 32, `${held} descriptors`);
    many.forEach(({ socket }) => socket.destroy());
    await leader.client.end(0);
  });

  test('who reads nothing of what is answered is not waited for', async () => {
    const { leader, path } = await desktop();
    const deaf = client(path);
    deaf.socket.pause();
    deaf.socket.write(Buffer.concat(Array.from({ length: 4000 }, () => request)));
    const other = client(path);
    other.socket.write(request);
    await other.answered(failure);
    deaf.socket.resume();
    await deaf.ended();
    assert.ok(deaf.answer.length < 4000 * failure.length);
    await leader.client.end(0);
  });

  test('the monitor is told, and has the connection that it asks for', async () => {
    const { leader, path } = await desktop();
    const wanted = await watch(leader.client);
    const one = client(path);
    await until(() => wanted.length === 1, 'the notice');
    const socket = wanted[0] as number;
    const taken = new Socket({ fd: await leader.client.agentTake(socket) });
    one.socket.write(request);
    const [bytes] = (await once(taken, 'data')) as [Buffer];
    assert.deepEqual(bytes, request);
    taken.write('an answer');
    await one.answered(Buffer.from('an answer'));
    const isGone = (error: unknown) => error instanceof CallFailure && error.code === ENOENT;
    await assert.rejects(leader.client.agentTake(socket), isGone, 'a second time');
    await assert.rejects(leader.client.agentTake(socket + 1), isGone, 'one that is none');
    taken.destroy();
    await one.ended();
    await leader.client.agentDone(socket);
    const other = client(path);
    other.socket.write(request);
    await until(() => wanted.length === 2, 'the notice');
    await leader.client.agentDone(wanted[1] as number);
    await other.answered(failure);
    await leader.client.end(0);
  });

  test('64 at a time: more wait until one is over', async () => {
    const { leader, path } = await desktop();
    const wanted = await watch(leader.client);
    const many = Array.from({ length: 70 }, () => client(path));
    await until(() => wanted.length === 64, 'as many as there may be');
    const taken = await Promise.all(wanted.map((socket) => leader.client.agentTake(socket)));
    assert.equal(wanted.length, 64);
    taken.forEach(closeDescriptor);
    await leader.client.agentDone(wanted[0] as number);
    await until(() => wanted.length === 65, 'the next');
    many.forEach(({ socket }) => socket.destroy());
    await leader.client.end(0);
  });

  test('without its monitor it refuses at once, and the next one is told of what comes then', async () => {
    const { leader, directory, path } = await desktop();
    const wanted = await watch(leader.client);
    const [waiting, given] = [client(path), client(path)];
    await until(() => wanted.length === 2, 'the notices');
    const descriptor = await leader.client.agentTake(wanted[1] as number);
    waiting.socket.write(request);
    leader.client.drop();
    await waiting.answered(failure);
    const without = client(path);
    without.socket.write(request);
    await without.answered(failure);
    assert.equal(given.isOver, false, 'it goes on where it is served');
    closeDescriptor(descriptor);
    await given.ended();

    const found = connectSeqpacket(`${directory}/control`);
    const peer = new Peer(new SeqpacketLink(found), { closeDescriptor });
    const again = new LeaderClient(peer, leader.client.pid);
    const unasked = client(path);
    unasked.socket.write(request);
    await unasked.answered(failure);
    const next = await watch(again);
    const served = client(path);
    await until(() => next.length === 1, 'the notice');
    closeDescriptor(await again.agentTake(next[0] as number));
    await served.ended();
    await again.end(0);
  });

  test('another user is sent away, however open its owner has made it', async () => {
    const { leader, directory, path } = await desktop();
    const wanted = await watch(leader.client);
    const asBob = (): { readonly status: number | null; readonly stderr: string } =>
      spawnSync(
        'setpriv',
        [`--reuid=${bob.uid}`, `--regid=${bob.gid}`, '--clear-groups', 'ssh-add', '-l'],
        { env: { PATH: '/usr/bin:/bin', SSH_AUTH_SOCK: path }, encoding: 'utf8' },
      );
    const closed = asBob();
    assert.deepEqual([closed.status, /Permission denied/.test(closed.stderr)], [2, true]);
    chmodSync(`${directory}/user`, 0o755);
    chmodSync(path, 0o666);
    const open = asBob();
    // Of a connection that is closed again it hears by SIGPIPE, or reads the end.
    assert.ok(open.status !== 0 && !open.stderr.includes('refused'), open.stderr);
    assert.deepEqual(wanted, []);
    leader.client.drop();
    const owner = client(path);
    owner.socket.write(request);
    await owner.answered(failure);
    const found = connectSeqpacket(`${directory}/control`);
    await new LeaderClient(
      new Peer(new SeqpacketLink(found), { closeDescriptor }),
      leader.client.pid,
    ).end(0);
  });
});
