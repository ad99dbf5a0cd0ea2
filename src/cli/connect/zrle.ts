/**
 * ZRLE tiles (RFC 6143 §7.7.6) of 3-byte pixels. Every run and palette index is checked: tiles come
 * from a server that may be hostile. Runs in: user.
 */
import { ClientFailure } from '../../ssh/client/failure.ts';

export interface Tile {
  readonly width: number;
  readonly height: number;
}

type Decoded = { value: Uint32Array; used: number } | null;

/** Decodes one tile of at most 64×64 from the head of `bytes`; null when more are needed. */
export function decodeTile(bytes: Buffer, tile: Tile): Decoded {
  const kind = bytes[0];
  if (kind === undefined) return null;
  const pixels = tile.width * tile.height;
  if (kind === 0) return rawTile(bytes, pixels);
  if (kind === 1) return solidTile(bytes, pixels);
  if (kind <= 16) return packedTile(bytes, tile, kind);
  if (kind === 128) return runTile(bytes, pixels);
  if (kind >= 130) return paletteRunTile(bytes, pixels, kind - 128);
  throw new ClientFailure('desktop', `ZRLE: no such tile: ${kind}`);
}

function colourAt(bytes: Buffer, at: number): number {
  return bytes.readUIntLE(at, 3);
}

function rawTile(bytes: Buffer, pixels: number): Decoded {
  const used = 1 + 3 * pixels;
  if (bytes.length < used) return null;
  const value = new Uint32Array(pixels);
  for (let at = 0; at < pixels; at += 1) value[at] = colourAt(bytes, 1 + 3 * at);
  return { value, used };
}

function solidTile(bytes: Buffer, pixels: number): Decoded {
  if (bytes.length < 4) return null;
  return { value: new Uint32Array(pixels).fill(colourAt(bytes, 1)), used: 4 };
}

function readPalette(bytes: Buffer, size: number): Uint32Array {
  const palette = new Uint32Array(size);
  for (let at = 0; at < size; at += 1) palette[at] = colourAt(bytes, 1 + 3 * at);
  return palette;
}

function inPalette(palette: Uint32Array, index: number): number {
  const colour = palette[index];
  if (colour === undefined) throw new ClientFailure('desktop', 'ZRLE: a colour out of the palette');
  return colour;
}

function packedTile(bytes: Buffer, tile: Tile, size: number): Decoded {
  const bits = size === 2 ? 1 : size <= 4 ? 2 : 4;
  const rowBytes = Math.ceil((tile.width * bits) / 8);
  const start = 1 + 3 * size;
  const used = start + rowBytes * tile.height;
  if (bytes.length < used) return null;
  const palette = readPalette(bytes, size);
  const value = new Uint32Array(tile.width * tile.height);
  const mask = (1 << bits) - 1;
  for (let y = 0; y < tile.height; y += 1) {
    for (let x = 0; x < tile.width; x += 1) {
      const bit = x * bits;
      const packed = bytes[start + y * rowBytes + (bit >> 3)] ?? 0;
      value[y * tile.width + x] = inPalette(palette, (packed >> (8 - bits - (bit & 7))) & mask);
    }
  }
  return { value, used };
}

/** A run's length is 1 + the sum of bytes up to the first that is not 255; null: more needed. */
function readRun(
  bytes: Buffer,
  start: number,
  room: number,
): { length: number; end: number } | null {
  let length = 1;
  for (let at = start; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    length += byte;
    if (length > room) throw new ClientFailure('desktop', 'ZRLE: a run beyond its tile');
    if (byte !== 255) return { length, end: at + 1 };
  }
  return null;
}

function runTile(bytes: Buffer, pixels: number): Decoded {
  const value = new Uint32Array(pixels);
  let done = 0;
  let at = 1;
  while (done < pixels) {
    if (bytes.length < at + 3) return null;
    const run = readRun(bytes, at + 3, pixels - done);
    if (!run) return null;
    value.fill(colourAt(bytes, at), done, done + run.length);
    done += run.length;
    at = run.end;
  }
  return { value, used: at };
}

function paletteRunTile(bytes: Buffer, pixels: number, size: number): Decoded {
  let at = 1 + 3 * size;
  if (bytes.length < at) return null;
  const palette = readPalette(bytes, size);
  const value = new Uint32Array(pixels);
  let done = 0;
  while (done < pixels) {
    const index = bytes[at];
    if (index === undefined) return null;
    let run: { length: number; end: number } | null = { length: 1, end: at + 1 };
    if (index >= 128) run = readRun(bytes, at + 1, pixels - done);
    if (!run) return null;
    value.fill(inPalette(palette, index & 127), done, done + run.length);
    done += run.length;
    at = run.end;
  }
  return { value, used: at };
}
