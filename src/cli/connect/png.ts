/**
 * Writes a picture as PNG: 8-bit RGB, no filter, zlib. Runs in: user.
 */
import { crc32, deflateSync } from 'node:zlib';
import type { Framebuffer } from './framebuffer.ts';

const signature = Buffer.from('89504e470d0a1a0a', 'hex');

export function encodePng(picture: Framebuffer): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(picture.width, 0);
  header.writeUInt32BE(picture.height, 4);
  header[8] = 8; // bits per sample
  header[9] = 2; // RGB
  const rowBytes = 1 + 3 * picture.width;
  const rows = Buffer.alloc(rowBytes * picture.height);
  for (let y = 0; y < picture.height; y += 1) picture.rowBytes(y, rows, y * rowBytes + 1);
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows, { level: 6 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(data.length, 0);
  head.write(type, 4, 'latin1');
  const tail = Buffer.alloc(4);
  tail.writeUInt32BE(crc32(data, crc32(type)), 0);
  return Buffer.concat([head, data, tail]);
}
