/**
 * The RFB client against servers that a test writes byte by byte.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Duplex } from 'node:stream';
import { deflateSync } from 'node:zlib';
import { Framebuffer } from '../../../../../src/cli/connect/framebuffer.ts';
import { RfbClient } from '../../../../../src/cli/connect/rfb-client.ts';

/** A stream that says `bytes`, in pieces of `step`, and keeps what the client says. */
class ScriptedStream extends Duplex {
  readonly sent: Buffer[] = [];
  #left: Buffer;
  readonly #step: number;

  constructor(bytes: Buffer, step = bytes.length) {
    super();
    this.#left = bytes;
    this.#step = Math.max(1, step);
  }

  override _read(): void {
    const piece = this.#left.subarray(0, this.#step);
    this.#left = this.#left.subarray(this.#step);
    this.push(piece.length === 0 ? null : piece);
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.sent.push(chunk);
    done();
  }
}

const u16 = (value: number): number[] => [value >> 8, value & 255];
const u32 = (value: number): number[] => [...u16(value >>> 16), ...u16(value & 0xffff)];

function greeting(width: number, height: number, name = 'desk'): number[] {
  return [
    ...Buffer.from('RFB 003.008\n'),
    ...[1, 1],
    ...u32(0),
    ...[...u16(width), ...u16(height), ...Array(16).fill(0)],
    ...[...u32(name.length), ...Buffer.from(name)],
  ];
}

function rectangle(
  x: number,
  y: number,
  width: number,
  height: number,
  encoding: number,
): number[] {
  return [...u16(x), ...u16(y), ...u16(width), ...u16(height), ...u32(encoding >>> 0)];
}

const update = (...rectangles: number[][]): number[] => [
  ...[0, 0, ...u16(rectangles.length)],
  ...rectangles.flat(),
];

async function draw(bytes: number[], step?: number): Promise<Framebuffer> {
  const client = await RfbClient.open(new ScriptedStream(Buffer.from(bytes), step));
  await client.drawFull();
  return client.screen;
}

const zrle = (bytes: number[]): number[] => {
  const packed = deflateSync(Buffer.from(bytes));
  return [...u32(packed.length), ...packed];
};

describe('a picture', () => {
  const raw = [...rectangle(0, 0, 2, 1, 0), 1, 2, 3, 0, 4, 5, 6, 0];
  const copied = [...rectangle(0, 1, 2, 1, 1), ...u16(0), ...u16(0)];
  const bytes = [
    ...greeting(2, 3),
    ...[2], // bell
    ...[3, 0, 0, 0, ...u32(3), 97, 98, 99], // clipboard
    ...update([...rectangle(0, 0, 1, 1, -239), 0, 0, 0, 0, 0]),
    ...update(raw, copied),
    ...update([...rectangle(0, 2, 2, 1, 16), ...zrle([1, 9, 8, 7])]),
  ];
  for (const step of [undefined, 1, 7]) {
    test(`of raw, copied and compressed parts, in pieces of ${step ?? 'any size'}`, async () => {
      const screen = await draw(bytes, step);
      const pixels = [0, 1, 2].map((y) => [screen.pixel(0, y), screen.pixel(1, y)]);
      assert.deepEqual(pixels, [
        [0x030201, 0x060504],
        [0x030201, 0x060504],
        [0x070809, 0x070809],
      ]);
    });
  }

  test('of a desktop that changes its size before it is drawn', async () => {
    const resized = update([
      ...rectangle(0, 0, 1, 1, -308),
      1,
      0,
      0,
      0,
      ...u32(7),
      ...Array(12).fill(0),
    ]);
    const screen = await draw([
      ...greeting(4, 4),
      ...resized,
      ...update([...rectangle(0, 0, 1, 1, 0), 1, 2, 3, 0]),
    ]);
    assert.deepEqual([screen.width, screen.height], [1, 1]);
  });
});

describe('a hostile desktop', () => {
  const good = greeting(64, 64);
  const cases: readonly (readonly [string, number[], RegExp])[] = [
    ['is no desktop', [...Buffer.from('SSH-2.0-x\r\n\0')], /no RFB/],
    ['wants a password', [...Buffer.from('RFB 003.008\n'), 1, 2], /password of its own/],
    [
      'refuses with control characters',
      [...Buffer.from('RFB 003.008\n'), 0, ...u32(4), ...Buffer.from('\x1b[2J')],
      /refuses: \\x1b\[2J/,
    ],
    ['is too large', greeting(20000, 10), /cannot be shown/],
    ['is too large in all', greeting(16384, 16384), /cannot be shown/],
    ['has no size', greeting(0, 10), /cannot be shown/],
    ['has an endless name', [...good.slice(0, 38), ...u32(0x7fffffff)], /name is too long/],
    ['draws outside', [...good, ...update([...rectangle(60, 0, 10, 1, 0)])], /outside its picture/],
    [
      'copies from outside',
      [...good, ...update([...rectangle(0, 0, 10, 1, 1), ...u16(60), ...u16(0)])],
      /outside its picture/,
    ],
    [
      'uses what was not asked for',
      [...good, ...update(rectangle(0, 0, 1, 1, 7))],
      /not asked for: 7/,
    ],
    ['sends an unknown message', [...good, 99], /no such message: 99/],
    [
      'sends a huge pointer',
      [...good, ...update(rectangle(0, 0, 5000, 1, -239))],
      /pointer too large/,
    ],
    ['sends a huge clipboard', [...good, 3, 0, 0, 0, ...u32(0x7fffffff)], /clipboard is too large/],
    [
      'sends a huge rectangle',
      [...good, ...update([...rectangle(0, 0, 64, 64, 16), ...u32(0xffffffff)])],
      /rectangle too large/,
    ],
    [
      'sends garbage for zlib',
      [...good, ...update([...rectangle(0, 0, 64, 64, 16), ...u32(4), 1, 2, 3, 4])],
      /header|ended/,
    ],
    ['breaks off', [...good, 0, 0], /ended/],
  ];
  for (const [name, bytes, expected] of cases) {
    test(name, { timeout: 5000 }, async () => {
      await assert.rejects(draw(bytes), expected);
    });
  }

  test('that inflates a bomb is held at the inflater', { timeout: 20_000 }, async () => {
    const bomb = deflateSync(Buffer.alloc(64 * 1024 * 1024), { level: 9 });
    const before = process.memoryUsage().arrayBuffers;
    const stream = new ScriptedStream(
      Buffer.from([
        ...good,
        ...update([...rectangle(0, 0, 1, 1, 16), ...u32(bomb.length), ...bomb]),
      ]),
    );
    const client = await RfbClient.open(stream);
    const drawing = client.drawFull();
    drawing.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.ok(process.memoryUsage().arrayBuffers - before < 16 * 1024 * 1024);
    client.close();
  });
});

test('the size is asked for with the id of the first screen', async () => {
  const layout = [1, 0, 0, 0, ...u32(42), ...u16(0), ...u16(0), ...u16(2), ...u16(1), ...u32(5)];
  const stream = new ScriptedStream(
    Buffer.from([
      ...greeting(2, 1),
      ...update([...rectangle(0, 0, 2, 1, -308), ...layout]),
      ...update([...rectangle(0, 0, 2, 1, 0), ...Array(8).fill(0)]),
      ...update([...rectangle(1, 0, 30, 20, -308), ...layout]),
    ]),
  );
  const client = await RfbClient.open(stream);
  assert.equal(await client.resize({ width: 30, height: 20 }), true);
  const request = stream.sent.find((message) => message[0] === 251);
  assert.deepEqual(
    [...(request ?? [])],
    [
      251,
      0,
      ...u16(30),
      ...u16(20),
      1,
      0,
      ...u32(42),
      ...u16(0),
      ...u16(0),
      ...u16(30),
      ...u16(20),
      ...u32(5),
    ],
  );
});

test('a refused size is said', async () => {
  const layout = [1, 0, 0, 0, ...Array(16).fill(0)];
  const stream = new ScriptedStream(
    Buffer.from([
      ...greeting(1, 1),
      ...update([...rectangle(0, 0, 1, 1, -308), ...layout]),
      ...update([...rectangle(0, 0, 1, 1, 0), 0, 0, 0, 0]),
      ...update([...rectangle(1, 1, 1, 1, -308), ...layout]),
    ]),
  );
  const client = await RfbClient.open(stream);
  assert.equal(await client.resize({ width: 30, height: 20 }), false);
});
