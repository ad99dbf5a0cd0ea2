import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { limits } from '../../../../../src/ssh/transport/limits.ts';
import { Output } from '../../../../../src/ssh/transport/output.ts';

/** Counts calls and finishes them only when told. */
class SlowSink extends Writable {
  readonly calls: number[] = [];
  finish: () => void = () => {};
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    this.calls.push(1);
    this.finish = done;
  }
  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.calls.push(chunks.length);
    this.finish = done;
  }
}

test('the packets between two flushes leave in one call, in order', () => {
  const sink = new SlowSink();
  const output = new Output(sink, () => {});
  for (let i = 0; i < 5; i++) {
    output.push(Buffer.alloc(100, i));
  }
  assert.deepEqual(sink.calls, []);
  assert.equal(output.pendingBytes, 500);
  output.flush();
  assert.deepEqual(sink.calls, [5]);
  assert.equal(output.pendingBytes, 500);
  output.push(Buffer.alloc(7));
  output.flush();
  sink.finish();
  assert.deepEqual(sink.calls, [5, 1]);
});

test('much output does not wait for the flush', () => {
  const sink = new SlowSink();
  const output = new Output(sink, () => {});
  let pushed = 0;
  while (sink.calls.length === 0) {
    output.push(Buffer.alloc(32_768));
    pushed += 32_768;
  }
  assert.equal(pushed, limits.corkedBytes);
});

test('the owner is told when the socket has taken a batch', async () => {
  const sink = new SlowSink();
  const { promise, resolve } = Promise.withResolvers<void>();
  const output = new Output(sink, resolve);
  output.push(Buffer.alloc(10));
  output.flush();
  sink.finish();
  await promise;
  assert.equal(output.pendingBytes, 0);
});

test('a socket that has ended is not written to', () => {
  const sink = new SlowSink();
  const output = new Output(sink, () => {});
  sink.destroy();
  output.push(Buffer.alloc(10));
  output.flush();
  assert.deepEqual(sink.calls, []);
  assert.equal(output.pendingBytes, 0);
});
