/** The least that RFC 6143 needs to see a whole picture: no security, raw pixels. Runs in: test. */
import type { Readable, Writable } from 'node:stream';

export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly name: string;
  /** Four bytes a pixel, as the server likes them. */
  readonly pixels: Buffer;
}

/** Hands out exact numbers of bytes of a stream. */
class Intake {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #over = false;
  #wake: () => void = () => undefined;
  constructor(stream: Readable) {
    stream.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      this.#wake();
    });
    stream.once('close', () => {
      this.#over = true;
      this.#wake();
    });
  }
  async take(count: number): Promise<Buffer> {
    while (this.#bytes < count) {
      if (this.#over) {
        throw new Error(`the display ended with ${this.#bytes} of ${count} bytes`);
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const all =
      this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
    this.#chunks.length = 0;
    this.#chunks.push(all.subarray(count));
    this.#bytes -= count;
    return all.subarray(0, count);
  }
}

/** Handshake, then one full picture. */
export async function firstPicture(from: Readable, to: Writable): Promise<Picture> {
  const intake = new Intake(from);
  const version = (await intake.take(12)).toString('latin1');
  if (!/^RFB 003\.00[378]\n$/.test(version)) {
    throw new Error(`not RFB: ${JSON.stringify(version)}`);
  }
  to.write('RFB 003.008\n');
  const offered = await intake.take((await intake.take(1))[0] as number);
  if (!offered.includes(1)) {
    throw new Error(`security types ${[...offered]}, not none`);
  }
  to.write(Buffer.from([1]));
  if ((await intake.take(4)).readUInt32BE(0) !== 0) {
    throw new Error('refused');
  }
  to.write(Buffer.from([1]));
  const init = await intake.take(24);
  const [width, height] = [init.readUInt16BE(0), init.readUInt16BE(2)];
  const bitsPerPixel = init[4] as number;
  if (bitsPerPixel !== 32) {
    throw new Error(`${bitsPerPixel} bits a pixel`);
  }
  const name = (await intake.take(init.readUInt32BE(20))).toString('utf8');
  // SetEncodings: raw only. FramebufferUpdateRequest: all of it.
  to.write(Buffer.from([2, 0, 0, 1, 0, 0, 0, 0]));
  const request = Buffer.from([3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  request.writeUInt16BE(width, 6);
  request.writeUInt16BE(height, 8);
  to.write(request);
  const pixels = Buffer.alloc(width * height * 4);
  let area = 0;
  while (area < width * height) {
    const kind = (await intake.take(1))[0] as number;
    if (kind === 2) {
      continue; // bell
    }
    if (kind === 3) {
      await intake.take((await intake.take(7)).readUInt32BE(3)); // cut text
      continue;
    }
    if (kind !== 0) {
      throw new Error(`message ${kind} of the display`);
    }
    const rectangles = (await intake.take(3)).readUInt16BE(1);
    for (let index = 0; index < rectangles; index++) {
      const head = await intake.take(12);
      const [x, y, w, h] = [0, 2, 4, 6].map((at) => head.readUInt16BE(at)) as [
        number,
        number,
        number,
        number,
      ];
      if (head.readInt32BE(8) !== 0) {
        throw new Error(`encoding ${head.readInt32BE(8)} was not asked for`);
      }
      const bytes = await intake.take(w * h * 4);
      for (let row = 0; row < h; row++) {
        bytes.copy(pixels, ((y + row) * width + x) * 4, row * w * 4, (row + 1) * w * 4);
      }
      area += w * h;
    }
  }
  return { width, height, name, pixels };
}
