/**
 * A picture of 0xAARRGGBB words; alpha marks the pixels that have been drawn, so that a full first
 * frame can be told from a partial one. Runs in: user.
 */
import { ClientFailure } from '../../ssh/client/failure.ts';
import { maxSidePixels } from './target.ts';

export interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** 256 MiB of picture: room for 8K three times over. */
const maxPixels = 64 * 1024 * 1024;
const drawn = 0xff000000;

export class Framebuffer {
  readonly width: number;
  readonly height: number;
  readonly #pixels: Uint32Array;
  #missing: number;

  constructor(width: number, height: number) {
    if (
      width < 1 ||
      height < 1 ||
      width > maxSidePixels ||
      height > maxSidePixels ||
      width * height > maxPixels
    ) {
      throw new ClientFailure('desktop', `a desktop of ${width}x${height} cannot be shown`);
    }
    this.width = width;
    this.height = height;
    this.#pixels = new Uint32Array(width * height);
    this.#missing = width * height;
  }

  get isComplete(): boolean {
    return this.#missing === 0;
  }

  /** 0xRRGGBB. */
  pixel(x: number, y: number): number {
    return (this.#pixels[y * this.width + x] ?? 0) & 0xffffff;
  }

  check(area: Rectangle): void {
    const { x, y, width, height } = area;
    if (x + width > this.width || y + height > this.height) {
      throw new ClientFailure('desktop', 'the desktop draws outside its picture');
    }
  }

  fill(area: Rectangle, colour: number): void {
    for (let row = area.y; row < area.y + area.height; row += 1) {
      const start = row * this.width + area.x;
      for (let at = start; at < start + area.width; at += 1) this.#put(at, colour);
    }
  }

  /** `colours` row by row. */
  draw(area: Rectangle, colours: ArrayLike<number>): void {
    let from = 0;
    for (let row = area.y; row < area.y + area.height; row += 1) {
      const start = row * this.width + area.x;
      for (let at = start; at < start + area.width; at += 1) {
        this.#put(at, colours[from] ?? 0);
        from += 1;
      }
    }
  }

  copy(area: Rectangle, fromX: number, fromY: number): void {
    this.check({ ...area, x: fromX, y: fromY });
    const colours = new Uint32Array(area.width * area.height);
    for (let row = 0; row < area.height; row += 1) {
      const start = (fromY + row) * this.width + fromX;
      colours.set(this.#pixels.subarray(start, start + area.width), row * area.width);
    }
    this.draw(area, colours);
  }

  /** One row as R, G, B bytes. */
  rowBytes(y: number, into: Buffer, offset: number): void {
    let to = offset;
    for (let at = y * this.width; at < (y + 1) * this.width; at += 1) {
      const colour = this.#pixels[at] ?? 0;
      into[to] = (colour >> 16) & 0xff;
      into[to + 1] = (colour >> 8) & 0xff;
      into[to + 2] = colour & 0xff;
      to += 3;
    }
  }

  #put(at: number, colour: number): void {
    if (this.#pixels[at] === 0) this.#missing -= 1;
    this.#pixels[at] = (colour | drawn) >>> 0;
  }
}
