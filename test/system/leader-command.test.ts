/**
 * AuthorizedKeysCommand and its like, as the leader runs it. Runs in: test, as root in the lab.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { ranAs } from '../../pam/leader-protocol.ts';
import { readMemfd } from '../../src/base/socket.native.ts';
import { CallFailure } from '../../src/ssh/wire/peer.ts';
import { inLab, makeUser, run } from '../support/lab.ts';
import {
  begin,
  type DrivenLeader,
  isAlive,
  until,
  ZygoteDriver,
} from '../support/leader-driver.ts';

const lab = inLab(import.meta.url);
const isErrno = (code: number) => (error: unknown) =>
  error instanceof CallFailure && error.code === code;
const [EPERM, EINVAL, EPROTO, ETIMEDOUT] = [1, 22, 71, 110] as const;
const folder = '/etc/commands';
const maxBytes = 65_536;

describe('a command of the administrator', lab, () => {
  let driver: ZygoteDriver;
  let leader: DrivenLeader;

  before(async () => {
    makeUser('alice');
    run('groupadd', ['lookup-more']);
    run('useradd', ['-r', '-m', '-s', '/usr/sbin/nologin', '-G', 'lookup-more', 'lookup']);
    mkdirSync(folder, { mode: 0o755 });
    driver = new ZygoteDriver();
    leader = await driver.fork();
    await begin(leader.client, 'alice');
  });
  after(() => driver.close());

  function script(name: string, text: string, mode = 0o755): string {
    const file = `${folder}/${name}`;
    writeFileSync(file, `#!/bin/sh\n${text}\n`);
    chmodSync(file, mode);
    return file;
  }

  async function execute(
    file: string,
    words: readonly string[] = [],
    change: { user?: string; maxBytes?: number; timeoutMs?: number } = {},
    client = leader.client,
  ) {
    const { descriptor, ...values } = await client.runCommand({
      user: 'lookup',
      file,
      arguments: [file, ...words].map((word) => Buffer.from(word)),
      maxBytes,
      timeoutMs: 20_000,
      ...change,
    });
    if (descriptor === undefined) {
      return { ...values, output: undefined };
    }
    const output = readMemfd(descriptor, maxBytes).toString();
    closeSync(descriptor);
    return { ...values, output };
  }

  test('runs as its own user, with that user’s groups and no way back', async () => {
    const file = script(
      'who',
      'id; grep -E "^(Uid|Gid|Groups|CapEff|NoNewPrivs)" /proc/self/status',
    );
    const { verdict, status, output } = await execute(file);
    assert.deepEqual([verdict, status], [ranAs.done, 0]);
    const [id = '', ...lines] = (output ?? '').split('\n');
    assert.equal(`${id}\n`, run('id', ['lookup']), 'uid, gid and all groups');
    const uid = run('id', ['-u', 'lookup']).trim();
    assert.match(
      lines.join('\n'),
      new RegExp(`^Uid:\\s+${uid}\\s+${uid}\\s+${uid}\\s+${uid}$`, 'm'),
    );
    assert.match(lines.join('\n'), /^CapEff:\s+0+$/m);
  });

  test('gets a clean environment, nothing on stdin, no descriptor of ours, no shell', async () => {
    const file = script(
      'look',
      'env | sort; wc -c </dev/stdin; ls /proc/self/fd | wc -l; pwd; printf "<%s>" "$@"',
    );
    const { output } = await execute(file, ['a b', '$(id)', '*', '']);
    assert.equal(
      output,
      [
        'HOME=/home/lookup',
        'LOGNAME=lookup',
        'PATH=/usr/bin:/bin:/usr/sbin:/sbin',
        'PWD=/',
        'USER=lookup',
        '0',
        '4', // 0, 1, 2 and the folder itself
        '/',
        '<a b><$(id)><*><>',
      ].join('\n'),
    );
  });

  test('tells how it ended and what it said on stderr, bounded', async () => {
    const bad = await execute(script('bad', 'echo out; echo why >&2; exit 3'));
    assert.deepEqual(
      [bad.verdict, bad.status, bad.signal, bad.text.toString(), bad.output],
      [ranAs.done, 3, 0, 'why\n', 'out\n'],
    );
    const killed = await execute(script('killed', 'kill -9 $$'));
    assert.deepEqual([killed.status, killed.signal], [0, 9]);
    const loud = await execute(script('loud', 'head -c 3000000 /dev/zero | tr "\\0" x >&2'));
    assert.deepEqual([loud.verdict, loud.status], [ranAs.done, 0]);
    assert.match(loud.text.toString(), /^x{100,1000}$/);
    writeFileSync(`${folder}/empty`, 'no program');
    chmodSync(`${folder}/empty`, 0o755);
    assert.equal((await execute(`${folder}/empty`)).status, 127);
  });

  test('does not run what somebody else can change', async () => {
    const witness = '/tmp/ran';
    const file = script('mine', `: > ${witness}`);
    const expectRefusal = async (text: string) => {
      const { verdict, text: why, output } = await execute(file);
      assert.deepEqual([verdict, why.toString(), output], [ranAs.unsafe, text, undefined]);
    };
    chmodSync(file, 0o775);
    await expectRefusal(`bad ownership or modes for file ${file}`);
    chmodSync(file, 0o755);
    chownSync(file, Number(run('id', ['-u', 'lookup'])), 0);
    await expectRefusal(`bad ownership or modes for file ${file}`);
    chownSync(file, 0, 0);
    chmodSync(folder, 0o757);
    await expectRefusal(`bad ownership or modes for directory ${folder}`);
    chmodSync(folder, 0o755);
    assert.equal((await execute(folder)).verdict, ranAs.unsafe);
    const missing = await execute(`${folder}/none`);
    assert.deepEqual(
      [missing.verdict, missing.text.toString()],
      [ranAs.notFound, 'No such file or directory'],
    );
    assert.equal((await execute(file, [], { user: 'nobody-such' })).verdict, ranAs.noUser);
    assert.equal(existsSync(witness), false);
    await assert.rejects(execute('bin/true'), isErrno(EINVAL));
  });

  test('an output without end is cut, and the command with all it started is gone', async () => {
    const pids = '/home/lookup/pids';
    const file = script('flood', `sleep 600 & echo $! $$ > ${pids}; exec yes`);
    assert.equal((await execute(file)).verdict, ranAs.tooMuch);
    for (const pid of readFileSync(pids, 'utf8').trim().split(' ')) {
      await until(() => !isAlive(Number(pid)), `${pid} has ended`);
    }
    assert.equal((await execute(script('just', `head -c ${maxBytes} /dev/zero`))).status, 0);
  });

  test('one that takes too long is killed with all it started', async () => {
    const pids = '/home/lookup/slow-pids';
    const file = script(
      'slow',
      `sleep 600 & echo $! $$ > ${pids}.n; mv ${pids}.n ${pids}; sleep 500`,
    );
    const began = performance.now();
    await assert.rejects(execute(file, [], { timeoutMs: 1500 }), isErrno(ETIMEDOUT));
    assert.ok(performance.now() - began < 15_000);
    for (const pid of readFileSync(pids, 'utf8').trim().split(' ')) {
      await until(() => !isAlive(Number(pid)), `${pid} has ended`);
    }
    // A child that keeps the output open is waited for, as in sshd, and bounded like the rest.
    const held = script('held', 'sleep 400 & exit 0');
    await assert.rejects(execute(held, [], { timeoutMs: 1000 }), isErrno(ETIMEDOUT));
  });

  test('ends with the login that it was run for', async () => {
    const pids = '/home/lookup/left-pids';
    const file = script(
      'left',
      `sleep 600 & echo $! $$ > ${pids}.n; mv ${pids}.n ${pids}; sleep 500`,
    );
    const other = await driver.fork();
    await begin(other.client, 'alice');
    const running = assert.rejects(execute(file, [], {}, other.client));
    await until(() => existsSync(pids), 'the command runs');
    other.client.drop();
    await running;
    for (const pid of readFileSync(pids, 'utf8').trim().split(' ')) {
      await until(() => !isAlive(Number(pid)), `${pid} has ended`);
    }
    rmSync(pids);
  });

  test('is not run for nobody, and not after the login', async () => {
    const unknown = await driver.fork();
    await begin(unknown.client, 'nobody-such');
    await assert.rejects(execute('/bin/true', [], {}, unknown.client), isErrno(EPERM));
    const entered = await driver.fork();
    await entered.enter('alice');
    await assert.rejects(execute('/bin/true', [], {}, entered.client), isErrno(EPROTO));
  });
});
