import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { limits } from '../../../../../src/ssh/transport/limits.ts';
import { PacketMemory } from '../../../../../src/ssh/transport/packet-memory.ts';
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

/** Takes so many bytes at once, of everything; keeps what it was given, in order. */
class EagerSink extends SlowSink {
  readonly direct: Buffer[] = [];
  readonly queued: Buffer[] = [];
  readonly #atOnce: number;

  constructor(atOnce: number) {
    super();
    this.#atOnce = atOnce;
  }

  writeNow(chunk: Buffer): number {
    if (this.writableLength > 0) {
      return 0;
    }
    const taken = Math.min(chunk.length, this.#atOnce);
    this.direct.push(Buffer.from(chunk.subarray(0, taken)));
    return taken;
  }

  override _write(chunk: Buffer, encoding: string, done: () => void): void {
    this.queued.push(Buffer.from(chunk));
    super._write(chunk, encoding, done);
  }
}

test('one packet is written past the queue, and the owner is told in a later turn', async () => {
  const sink = new EagerSink(100);
  let isTold = false;
  const { promise, resolve } = Promise.withResolvers<void>();
  const output = new Output(sink, () => {
    isTold = true;
    resolve();
  });
  output.push(Buffer.from('at once'));
  output.flush();
  assert.ok(!isTold, 'whoever pushes is not called back meanwhile');
  await promise;
  assert.equal(sink.direct.join(), 'at once');
  assert.deepEqual(sink.queued, []);
  assert.equal(output.pendingBytes, 0);
});

test('what the kernel does not take at once waits in the queue, and what follows behind it', async () => {
  const sink = new EagerSink(3);
  const { promise, resolve } = Promise.withResolvers<void>();
  const output = new Output(sink, resolve);
  output.push(Buffer.from('abcdef'));
  output.flush();
  output.push(Buffer.from('ghi'));
  output.flush();
  assert.deepEqual([sink.direct.join(), sink.queued.join()], ['abc', 'def']);
  assert.equal(output.pendingBytes, 6);
  sink.finish();
  await promise;
  assert.deepEqual([sink.direct.join(), sink.queued.join()], ['abc', 'def,ghi']);
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

/** As a socket: has a copy of what it says it has taken, at once or when told. */
class CopyingSink extends Writable {
  taken = '';
  calls = 0;
  isSlow = false;
  #waiting: (() => void)[] = [];
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#take([chunk], done);
  }
  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.#take(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }
  #take(chunks: Buffer[], done: () => void): void {
    this.calls++;
    const copy = (): void => {
      this.taken += Buffer.concat(chunks).toString('latin1');
      done();
    };
    if (this.isSlow) {
      this.#waiting.push(copy);
    } else {
      copy();
    }
  }
  finish(): void {
    this.#waiting.shift()?.();
  }
}

const packetBytes = 32_800;
function made(output: Output, letter: string, byteCount = packetBytes): string {
  const space = output.space(byteCount);
  assert.ok(space !== undefined);
  space.fill(letter);
  output.push(space);
  return letter.repeat(byteCount);
}

test('packets of a slab leave as one piece, in order with others between them', () => {
  const sink = new CopyingSink();
  const output = new Output(sink, () => {}, new PacketMemory());
  let expected = made(output, 'a') + made(output, 'b');
  output.push(Buffer.from('small'));
  expected += 'small' + made(output, 'c');
  assert.equal(output.pendingBytes, expected.length);
  output.flush();
  assert.equal(sink.taken, expected);
  assert.equal(sink.calls, 1);
  assert.equal(output.pendingBytes, 0);
});

test('memory is used again only once the socket has it, whatever comes meanwhile', async () => {
  const sink = new CopyingSink();
  const memory = new PacketMemory();
  const output = new Output(sink, () => {}, memory);
  let expected = '';
  for (let round = 0; round < 200; round++) {
    sink.isSlow = round % 7 !== 0;
    for (let packet = 0; packet <= round % 4; packet++) {
      expected += made(output, String.fromCharCode(65 + ((round * 5 + packet) % 57)), 9000 + round);
    }
    if (round % 5 === 0) {
      output.push(Buffer.from('.'));
      expected += '.';
    }
    output.flush();
    if (round % 3 === 0) {
      sink.finish();
      await new Promise(setImmediate);
    }
  }
  while (output.pendingBytes > 0) {
    sink.finish();
    await new Promise(setImmediate);
  }
  assert.equal(sink.taken.length, expected.length);
  assert.ok(sink.taken === expected, 'the bytes are others');
});

test('an output at rest holds no slab', async () => {
  const sink = new CopyingSink();
  const memory = new PacketMemory();
  const output = new Output(sink, () => {}, memory);
  made(output, 'a');
  const slab = output.space(1)?.buffer;
  output.flush();
  await new Promise(setImmediate);
  assert.equal(memory.takeSlab().buffer, slab);
  assert.notEqual(memory.takeSlab().buffer, slab);
});

test('a packet larger than a slab is somebody else’s affair', () => {
  const output = new Output(new CopyingSink(), () => {}, new PacketMemory());
  assert.equal(output.space(1024 * 1024), undefined);
});
