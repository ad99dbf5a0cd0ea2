/**
 * ZRLE tiles, whole, cut at each offset, and hostile ones.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeTile } from '../../../../../src/cli/connect/zrle.ts';

const red = [0x00, 0x00, 0xff]; // B, G, R
const green = [0x00, 0xff, 0x00];
const blue = [0xff, 0x00, 0x00];
const [r, g, b] = [0xff0000, 0x00ff00, 0x0000ff];

const tiles: readonly {
  name: string;
  width: number;
  height: number;
  bytes: number[];
  pixels: number[];
}[] = [
  { name: 'raw', width: 2, height: 1, bytes: [0, ...red, ...blue], pixels: [r, b] },
  { name: 'solid', width: 2, height: 2, bytes: [1, ...green], pixels: [g, g, g, g] },
  {
    name: 'packed, 1 bit, rows padded to bytes',
    width: 3,
    height: 2,
    bytes: [2, ...red, ...blue, 0b01000000, 0b10100000],
    pixels: [r, b, r, b, r, b],
  },
  {
    name: 'packed, 2 bits',
    width: 5,
    height: 1,
    bytes: [3, ...red, ...green, ...blue, 0b00011000, 0b10000000],
    pixels: [r, g, b, r, b],
  },
  {
    name: 'packed, 4 bits',
    width: 3,
    height: 1,
    bytes: [5, ...red, ...green, ...blue, ...red, ...green, 0x02, 0x10],
    pixels: [r, b, g],
  },
  {
    name: 'runs',
    width: 3,
    height: 1,
    bytes: [128, ...red, 1, ...blue, 0],
    pixels: [r, r, b],
  },
  {
    name: 'a run longer than 255',
    width: 64,
    height: 5,
    bytes: [128, ...green, 255, 64],
    pixels: Array(320).fill(g),
  },
  {
    name: 'palette runs',
    width: 4,
    height: 1,
    bytes: [130, ...red, ...blue, 0, 129, 1, 0],
    pixels: [r, b, b, r],
  },
];

describe('a tile', () => {
  for (const { name, width, height, bytes, pixels } of tiles) {
    test(`${name}: whole, with bytes of the next behind it, and cut anywhere`, () => {
      const whole = Buffer.from([...bytes, 0xaa, 0xbb]);
      const decoded = decodeTile(whole, { width, height });
      assert.deepEqual([...(decoded?.value ?? [])], pixels);
      assert.equal(decoded?.used, bytes.length);
      for (let cut = 0; cut < bytes.length; cut += 1) {
        assert.equal(decodeTile(whole.subarray(0, cut), { width, height }), null, `cut at ${cut}`);
      }
    });
  }
});

describe('a hostile tile', () => {
  const hostile: readonly (readonly [string, number[]])[] = [
    ['a kind that is none (17)', [17]],
    ['a kind that is none (129)', [129, 0, 0, 0]],
    ['a run beyond the tile', [128, ...red, 4]],
    ['a run of many 255', [128, ...red, 255, 255, 255]],
    ['a packed index out of the palette', [3, ...red, ...green, ...blue, 0b11000000]],
    ['a run index out of the palette', [130, ...red, ...blue, 5]],
  ];
  for (const [name, bytes] of hostile) {
    test(name, () => {
      const tile = { width: 2, height: 2 };
      assert.throws(() => decodeTile(Buffer.from([...bytes, ...Array(16).fill(0xff)]), tile), {
        code: 'SSHDESK_CLIENT',
      });
    });
  }
});
