/** A pty master as a stream: nothing blocks, nothing is lost, the end is seen. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PtyMaster } from '../../../../src/base/pty.native.ts';
import type { PtyStream } from '../../../../src/session/host.ts';
import { eventually, openDescriptors, settledDescriptors } from '../../../support/descriptors.ts';
import { spawnOnPty } from '../../../support/pty-child.ts';

const limit = { timeout: 60_000 };

async function terminal(...command: string[]) {
  const { master, exited } = await spawnOnPty(command);
  const stream: PtyStream = new PtyMaster(master);
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return {
    stream,
    exited,
    ended: new Promise<void>((resolve) => stream.on('close', () => resolve())),
    output: () => Buffer.concat(chunks).toString().replaceAll('\r\n', '\n'),
  };
}

/** The longest time for which the loop did not turn while `run` was under way. */
async function longestStallMs(run: () => Promise<void>): Promise<number> {
  let last = performance.now();
  let worst = 0;
  const timer = setInterval(() => {
    worst = Math.max(worst, performance.now() - last);
    last = performance.now();
  }, 5);
  await run();
  clearInterval(timer);
  return worst;
}

test('what is typed reaches the program, every byte, also the first line', limit, async () => {
  const { stream, output, exited, ended } = await terminal('sh');
  stream.write('stty -echo; echo one\nstty size\necho $((1+2))\nexit 7\n');
  stream.resize(100, 30, 0, 0);
  assert.equal((await exited) >> 8, 7);
  stream.end();
  await ended;
  assert.match(output(), /one\n/);
  assert.match(output(), /\n(\S* )?3\n/);
});

test('a resize is seen by the program', limit, async () => {
  const { stream, output, exited } = await terminal('sh', '-c', 'read x; stty size');
  stream.resize(132, 50, 1320, 1000);
  stream.write('\n');
  await exited;
  assert.ok(await eventually(() => output().includes('50 132')));
  stream.destroy();
});

test(
  'the end is a plain end, not an error, when the last holder of the slave goes',
  limit,
  async () => {
    const { stream, output, exited, ended } = await terminal(
      'sh',
      '-c',
      'trap "" HUP; (sleep 0.4; echo late) & echo early',
    );
    stream.on('error', (error) => assert.fail(error));
    let hasEnded = false;
    stream.on('end', () => {
      hasEnded = true;
    });
    await exited;
    assert.equal(hasEnded, false, 'a background job still holds the terminal');
    stream.end();
    await ended;
    assert.equal(output(), 'early\nlate\n');
  },
);

test(
  'a slave that does not read stalls nobody, and the write ends when it reads',
  limit,
  async () => {
    const { stream, output, exited, ended } = await terminal(
      'sh',
      '-c',
      'stty raw -echo; echo ready; sleep 1; head -c 200000 | sha256sum; stty sane',
    );
    assert.ok(await eventually(() => output().includes('ready')));
    const bytes = Buffer.alloc(200_000, 'x');
    let written = false;
    const stallMs = await longestStallMs(async () => {
      stream.write(bytes, () => {
        written = true;
      });
      await sleep(500);
      assert.equal(written, false, 'nobody has read it yet');
      await exited;
    });
    assert.ok(written);
    assert.ok(stallMs < 450, `the loop stood still for ${stallMs} ms`);
    stream.end();
    await ended;
    assert.ok(output().includes(createHash('sha256').update(bytes).digest('hex')));
  },
);

test(
  '20 MB of output arrive exactly, and a paused reader holds the program up',
  limit,
  async () => {
    const { master, exited } = await spawnOnPty([
      'sh',
      '-c',
      'stty raw; head -c 20000000 /dev/zero; printf tail',
    ]);
    const stream = new PtyMaster(master);
    await sleep(200);
    assert.ok(
      stream.readableLength <= 128 * 1024,
      `${stream.readableLength} bytes were read ahead`,
    );
    let bytes = 0;
    let tail = '';
    for await (const chunk of stream) {
      bytes += (chunk as Buffer).length;
      tail = (tail + (chunk as Buffer).toString('latin1')).slice(-4);
    }
    assert.equal(bytes, 20_000_004);
    assert.equal(tail, 'tail');
    assert.equal(await exited, 0);
    stream.destroy();
  },
);

test('destroying the master hangs the program up', limit, async () => {
  const { stream, exited } = await terminal('sleep', '60');
  await sleep(100);
  stream.destroy();
  assert.equal((await exited) & 0x7f, 1, 'SIGHUP');
});

test('input behind the end of the program is dropped without an error', limit, async () => {
  const { stream, exited, ended } = await terminal('true');
  stream.on('error', (error) => assert.fail(error));
  await exited;
  assert.ok(await eventually(() => stream.readableEnded));
  await new Promise<void>((resolve) => stream.write('too late', () => resolve()));
  stream.end();
  await ended;
});

test('a write that waits is told when the master is destroyed', limit, async () => {
  const { stream, output, exited } = await terminal(
    'sh',
    '-c',
    'stty raw -echo; echo ready; sleep 60',
  );
  assert.ok(await eventually(() => output().includes('ready')));
  const failed = new Promise<unknown>((resolve) => {
    stream.write(Buffer.alloc(200_000), resolve);
  });
  stream.on('error', () => {});
  await sleep(50);
  stream.destroy();
  assert.ok((await failed) instanceof Error);
  await exited;
});

test('60 terminals opened and closed leave no descriptor', limit, async () => {
  await (await terminal('true')).exited;
  const before = await settledDescriptors();
  for (let round = 0; round < 15; round++) {
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        const { stream, exited, ended } = await terminal('true');
        await exited;
        stream.end();
        await ended;
      }),
    );
  }
  assert.ok(await eventually(() => openDescriptors() <= before));
});
