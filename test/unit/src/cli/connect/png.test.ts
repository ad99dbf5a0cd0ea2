/**
 * PNG files, with ImageMagick as the oracle.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { Framebuffer } from '../../../../../src/cli/connect/framebuffer.ts';
import { encodePng } from '../../../../../src/cli/connect/png.ts';

test('ImageMagick reads the pixels that were drawn', () => {
  const picture = new Framebuffer(37, 5);
  const expected: number[] = [];
  for (let y = 0; y < 5; y += 1) {
    for (let x = 0; x < 37; x += 1) {
      const colour = ((x * 7) << 16) | ((y * 50) << 8) | ((x * y) & 255);
      picture.fill({ x, y, width: 1, height: 1 }, colour);
      expected.push(colour >> 16, (colour >> 8) & 255, colour & 255);
    }
  }
  assert.ok(picture.isComplete);
  const rgb = execFileSync('convert', ['png:-', '-depth', '8', 'rgb:-'], {
    input: encodePng(picture),
  });
  assert.deepEqual([...rgb], expected);
});

test('a picture is complete when each pixel was drawn, however often', () => {
  const picture = new Framebuffer(2, 2);
  picture.fill({ x: 0, y: 0, width: 2, height: 1 }, 0);
  picture.fill({ x: 0, y: 0, width: 2, height: 1 }, 0xffffff);
  assert.equal(picture.isComplete, false);
  picture.copy({ x: 0, y: 1, width: 2, height: 1 }, 0, 0);
  assert.equal(picture.isComplete, true);
  assert.equal(picture.pixel(1, 1), 0xffffff);
});
