import assert from 'node:assert/strict';
import { closeSync, fstatSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { PipeSource } from '../../../../src/session/pipe-source.ts';
import { makePipe } from '../../../support/pipe.ts';

function isOpen(descriptor: number): boolean {
  try {
    fstatSync(descriptor);
    return true;
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'EBADF');
    return false;
  }
}

test('chunks, then the end once; nothing comes while paused', async () => {
  const { read, write } = makePipe();
  const source = new PipeSource(read);
  const got: string[] = [];
  let ends = 0;
  source.start(
    (chunk) => void got.push(chunk.toString()),
    () => void ends++,
  );
  writeSync(write, 'one');
  await delay(20);
  source.pause();
  writeSync(write, 'two');
  await delay(20);
  assert.deepEqual([...got], ['one']);
  source.resume();
  await delay(20);
  assert.deepEqual(got, ['one', 'two']);
  closeSync(write);
  await delay(20);
  assert.equal(ends, 1);
});

test('pausing from within a chunk holds the next one back', async () => {
  const { read, write } = makePipe();
  const source = new PipeSource(read, Buffer.alloc(4));
  const got: string[] = [];
  source.start(
    (chunk) => {
      got.push(chunk.toString());
      source.pause();
    },
    () => {},
  );
  writeSync(write, 'abcdefgh');
  await delay(20);
  assert.deepEqual([...got], ['abcd']);
  source.resume();
  await delay(20);
  assert.deepEqual(got, ['abcd', 'efgh']);
  source.destroy();
  closeSync(write);
});

test('two sources share a buffer', async () => {
  const buffer = Buffer.alloc(1024);
  const got: string[] = [];
  const pipes = [makePipe(), makePipe()];
  const sources = pipes.map(({ read }) => new PipeSource(read, buffer));
  for (const [index, source] of sources.entries()) {
    source.start(
      (chunk) => void got.push(`${index} ${chunk.toString()}`),
      () => {},
    );
  }
  writeSync(pipes[0]?.write as number, 'zero');
  writeSync(pipes[1]?.write as number, 'one');
  await delay(20);
  assert.deepEqual(got.sort(), ['0 zero', '1 one']);
  for (const [index, source] of sources.entries()) {
    source.destroy();
    closeSync(pipes[index]?.write as number);
  }
});

test('destroyed before anybody reads: the descriptor is closed', async () => {
  const { read, write } = makePipe();
  const source = new PipeSource(read);
  source.destroy();
  source.destroy();
  await delay(20);
  assert.equal(isOpen(read), false);
  let ends = 0;
  source.start(
    () => assert.fail('a chunk'),
    () => void ends++,
  );
  assert.equal(ends, 1);
  closeSync(write);
});

test('destroyed in the midst: the descriptor is closed and the end told', async () => {
  const { read, write } = makePipe();
  const source = new PipeSource(read);
  let ends = 0;
  source.start(
    () => {},
    () => void ends++,
  );
  source.destroy();
  await delay(20);
  assert.equal(isOpen(read), false);
  assert.equal(ends, 1);
  closeSync(write);
});
