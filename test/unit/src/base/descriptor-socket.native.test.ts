import assert from 'node:assert/strict';
import { closeSync, fstatSync, readSync } from 'node:fs';
import { once } from 'node:events';
import { test } from 'node:test';
import { DescriptorSocket } from '../../../../src/base/descriptor-socket.native.ts';
import { eventually } from '../../../support/child.ts';
import { makePipe } from '../../../support/pipe.ts';

test('writeNow takes what the pipe holds, then nothing, and write goes on behind it', async () => {
  const { read, write } = makePipe();
  const socket = new DescriptorSocket(write, 'write');
  const chunk = Buffer.alloc(4 * 1024 * 1024, 'x');
  const taken = socket.writeNow(chunk);
  assert.ok(taken > 0 && taken < chunk.length, `${taken} bytes`);
  assert.equal(socket.writeNow(chunk), 0);
  socket.write('behind');
  assert.equal(socket.writeNow(chunk), 0, 'something waits already');
  const into = Buffer.alloc(taken);
  assert.equal(readSync(read, into), taken);
  await eventually('the rest is written', () => socket.writableLength === 0);
  const rest = Buffer.alloc(100);
  assert.equal(rest.toString('latin1', 0, readSync(read, rest)), 'behind');
  socket.destroy();
  assert.equal(socket.writeNow(chunk), 0);
  closeSync(read);
});

test('a reader that has gone is found by write, not by writeNow', async () => {
  const { read, write } = makePipe();
  const socket = new DescriptorSocket(write, 'write');
  closeSync(read);
  assert.equal(socket.writeNow(Buffer.from('x')), 0);
  const failed = once(socket, 'error');
  socket.write('x');
  assert.equal((await failed)[0].code, 'EPIPE');
  await eventually('it is closed', () => {
    try {
      fstatSync(write);
      return false;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EBADF';
    }
  });
});
