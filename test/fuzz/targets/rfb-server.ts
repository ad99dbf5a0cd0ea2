/** Our RFB client against a server that says anything: a picture or a ClientFailure. */
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { deflateSync } from 'node:zlib';
import { RfbClient } from '../../../src/cli/connect/rfb-client.ts';
import { ClientFailure } from '../../../src/ssh/client/failure.ts';
import { type FuzzTarget, within } from '../target.ts';

class Script extends Duplex {
  readonly #pieces: Buffer[];
  constructor(pieces: readonly Buffer[]) {
    super();
    this.#pieces = [...pieces];
  }
  override _read(): void {
    this.push(this.#pieces.shift() ?? null);
  }
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done();
  }
}

const u16 = (value: number) => [value >> 8, value & 255];
const u32 = (value: number) => [...u16(value >>> 16), ...u16(value & 0xffff)];
const greeting = (width: number, height: number) => [
  ...Buffer.from('RFB 003.008\n'),
  ...[1, 1, 0, 0, 0, 0],
  ...[...u16(width), ...u16(height), ...Buffer.alloc(16), ...u32(4), ...Buffer.from('desk')],
];
const rectangle = (x: number, y: number, w: number, h: number, encoding: number) => [
  ...[...u16(x), ...u16(y), ...u16(w), ...u16(h), ...u32(encoding >>> 0)],
];
const update = (...rectangles: number[][]) => [
  0,
  0,
  ...u16(rectangles.length),
  ...rectangles.flat(),
];
const zrle = (tiles: readonly number[]) => {
  const packed = deflateSync(Buffer.from(tiles));
  return [...u32(packed.length), ...packed];
};

export const rfbServer: FuzzTarget = {
  name: 'rfb-server',
  isStream: true,
  perSecond: 1_000,
  seeds: () =>
    [
      [...greeting(2, 2), ...update([...rectangle(0, 0, 2, 2, 0), ...Buffer.alloc(16, 7)])],
      [
        ...greeting(4, 4),
        ...update(
          [...rectangle(0, 0, 4, 4, 16), ...zrle([1, 9, 9, 9])],
          [...rectangle(0, 0, 2, 2, 1), ...u16(1), ...u16(1)],
        ),
      ],
      [
        ...greeting(4, 4),
        ...update([...rectangle(0, 0, 4, 4, 16), ...zrle([130, 1, 1, 1, 2, 2, 2, 0, 129, 13])]),
      ],
      [...greeting(4, 4), ...update([...rectangle(0, 0, 4, 4, 16), ...zrle([128, 5, 5, 5, 15])])],
      [
        ...greeting(4, 4),
        2, // bell
        ...[3, 0, 0, 0, ...u32(3), 1, 2, 3],
        ...update(
          [...rectangle(0, 0, 3, 3, -308), 1, 0, 0, 0, ...Buffer.alloc(16, 1)],
          [...rectangle(0, 0, 2, 2, -239), ...Buffer.alloc(2 * 2 * 4 + 2)],
          [...rectangle(0, 0, 5, 5, -223)],
        ),
      ],
      [...Buffer.from('RFB 003.003\n'), ...u32(0), ...u32(3), ...Buffer.from('why')],
    ].map((bytes) => Buffer.from(bytes)),
  async run(pieces) {
    const stream = new Script(pieces);
    stream.on('error', () => undefined);
    try {
      const client = await within(RfbClient.open(stream), 3_000, 'the greeting');
      const { width, height } = client.screen;
      assert.ok(width <= 65_535 && height <= 65_535);
      await within(client.drawFull(), 3_000, 'the picture');
    } catch (error) {
      assert.ok(error instanceof ClientFailure, (error as Error).stack);
    } finally {
      stream.destroy();
    }
  },
};
