/**
 * A small RFB client (RFC 6143, versions 3.3, 3.7 and 3.8, no security): takes the picture of a
 * desktop and changes its size. Raw, CopyRect, ZRLE, DesktopSize, ExtendedDesktopSize. The shape of
 * the pointer is skipped; Xvnc draws it into the picture where it stands. Everything from the server is bounded. Runs in: user.
 */
import type { Duplex } from 'node:stream';
import { constants, createInflate } from 'node:zlib';
import type { Inflate } from 'node:zlib';
import { ClientFailure } from '../../ssh/client/failure.ts';
import { ByteSource } from './byte-source.ts';
import { Framebuffer } from './framebuffer.ts';
import type { Rectangle } from './framebuffer.ts';
import { printableLine } from './printable.ts';
import type { Geometry } from './target.ts';
import { decodeTile } from './zrle.ts';

const encodings = {
  raw: 0,
  copyRect: 1,
  zrle: 16,
  desktopSize: -223,
  cursor: -239,
  extendedDesktopSize: -308,
} as const;

const maxNameBytes = 64 * 1024;
const maxTextBytes = 256 * 1024;
const maxZrleBytes = 64 * 1024 * 1024;
const maxCutTextBytes = 64 * 1024 * 1024;
const maxCursorSide = 1024;
const tileSide = 64;

/** 32 bits per pixel, depth 24, little endian, R at 16, G at 8, B at 0. */
const pixelFormat = Buffer.from('20180001' + '00ff00ff00ff' + '100800' + '000000', 'hex');

export interface ScreenLayout {
  /** Id and flags of the first screen, to be given back when the size changes. */
  readonly screenId: number;
  readonly flags: number;
}

type SizeAnswer = { readonly reason: number; readonly status: number };

export class RfbClient {
  readonly #stream: Duplex;
  readonly #source: ByteSource;
  readonly #inflate: Inflate;
  readonly #inflated: ByteSource;
  #screen: Framebuffer;
  #layout: ScreenLayout | null = null;
  #answer: SizeAnswer | null = null;
  #hasNewSize = false;
  readonly name: string;

  private constructor(stream: Duplex, source: ByteSource, geometry: Geometry, name: string) {
    this.#stream = stream;
    this.#source = source;
    this.#screen = new Framebuffer(geometry.width, geometry.height);
    this.name = name;
    this.#inflate = createInflate({ flush: constants.Z_SYNC_FLUSH });
    this.#inflated = new ByteSource(this.#inflate, 'the compressed picture');
  }

  /** Does the handshake; throws ClientFailure `desktop` with the server's reason when refused. */
  static async open(stream: Duplex): Promise<RfbClient> {
    const source = new ByteSource(stream, 'the desktop');
    await handshake(stream, source);
    stream.write(Buffer.of(1)); // shared: nobody else is thrown out
    const init = await source.take(24);
    const geometry = { width: init.readUInt16BE(0), height: init.readUInt16BE(2) };
    const nameBytes = init.readUInt32BE(20);
    if (nameBytes > maxNameBytes)
      throw new ClientFailure('desktop', 'the desktop name is too long');
    const name = (await source.take(nameBytes)).toString('utf8');
    const client = new RfbClient(stream, source, geometry, name);
    client.#setUp();
    return client;
  }

  get screen(): Framebuffer {
    return this.#screen;
  }

  #setUp(): void {
    const wanted = [
      encodings.zrle,
      encodings.copyRect,
      encodings.raw,
      encodings.extendedDesktopSize,
      encodings.desktopSize,
      encodings.cursor,
    ];
    const list = Buffer.alloc(4 + 4 * wanted.length);
    list[0] = 2;
    list.writeUInt16BE(wanted.length, 2);
    for (const [at, encoding] of wanted.entries()) list.writeInt32BE(encoding, 4 + 4 * at);
    this.#stream.write(Buffer.concat([Buffer.of(0, 0, 0, 0), pixelFormat, list]));
  }

  #request(isIncremental: boolean): void {
    const message = Buffer.alloc(10);
    message[0] = 3;
    message[1] = isIncremental ? 1 : 0;
    message.writeUInt16BE(this.#screen.width, 6);
    message.writeUInt16BE(this.#screen.height, 8);
    this.#stream.write(message);
  }

  /** Draws until every pixel has been seen once. */
  async drawFull(): Promise<void> {
    let isIncremental = false;
    while (!this.#screen.isComplete) {
      this.#request(isIncremental);
      await this.#update();
      // Xvnc answers every full request with its size alone, and draws at the next one: a full
      // request again would only bring the size again.
      isIncremental = !this.#hasNewSize;
    }
  }

  /** Follows changes for as long as `signal` stands; a changed size is drawn to the end. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#request(true);
      const aborted = new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      const update = this.#update();
      await Promise.race([update, aborted]);
      if (signal.aborted) {
        // The update at hand is never finished: the stream is closed by the caller.
        update.catch(() => undefined);
        return;
      }
      if (this.#hasNewSize) await this.drawFull();
    }
  }

  /** Resolves when the desktop has the size; false: it cannot be changed from here. */
  async resize(geometry: Geometry): Promise<boolean> {
    await this.drawFull();
    if (this.#screen.width === geometry.width && this.#screen.height === geometry.height) {
      return true;
    }
    if (!this.#layout) return false;
    this.#answer = null;
    this.#stream.write(setDesktopSize(geometry, this.#layout));
    while (this.#answer === null) {
      this.#request(true);
      await this.#update();
    }
    return (this.#answer as SizeAnswer).status === 0;
  }

  /** Reads messages up to and with one FramebufferUpdate. */
  async #update(): Promise<void> {
    this.#hasNewSize = false;
    for (;;) {
      const type = (await this.#source.take(1))[0];
      if (type === 0) return this.#rectangles();
      if (type === 1) await this.#skipColourMap();
      else if (type === 3) await this.#skipCutText();
      else if (type !== 2) throw new ClientFailure('desktop', `RFB: no such message: ${type}`);
    }
  }

  async #skipColourMap(): Promise<void> {
    const head = await this.#source.take(5);
    await this.#source.take(6 * head.readUInt16BE(3));
  }

  async #skipCutText(): Promise<void> {
    let left = (await this.#source.take(7)).readInt32BE(3);
    if (left < 0) left = -left;
    if (left > maxCutTextBytes)
      throw new ClientFailure('desktop', 'RFB: the clipboard is too large');
    while (left > 0) {
      const part = Math.min(left, 64 * 1024);
      await this.#source.take(part);
      left -= part;
    }
  }

  async #rectangles(): Promise<void> {
    const count = (await this.#source.take(3)).readUInt16BE(1);
    for (let at = 0; at < count; at += 1) {
      const head = await this.#source.take(12);
      const area: Rectangle = {
        x: head.readUInt16BE(0),
        y: head.readUInt16BE(2),
        width: head.readUInt16BE(4),
        height: head.readUInt16BE(6),
      };
      await this.#rectangle(area, head.readInt32BE(8));
    }
  }

  #rectangle(area: Rectangle, encoding: number): Promise<void> | void {
    switch (encoding) {
      case encodings.desktopSize:
        return this.#setSize(area);
      case encodings.extendedDesktopSize:
        return this.#extendedSize(area);
      case encodings.cursor:
        return this.#skipCursor(area);
      default:
        this.#screen.check(area);
        return this.#pixels(area, encoding);
    }
  }

  #pixels(area: Rectangle, encoding: number): Promise<void> {
    if (encoding === encodings.raw) return this.#raw(area);
    if (encoding === encodings.copyRect) return this.#copyRect(area);
    if (encoding === encodings.zrle) return this.#zrle(area);
    throw new ClientFailure('desktop', `RFB: an encoding that was not asked for: ${encoding}`);
  }

  async #raw(area: Rectangle): Promise<void> {
    const colours = new Uint32Array(area.width);
    for (let row = 0; row < area.height; row += 1) {
      const bytes = await this.#source.take(4 * area.width);
      for (let at = 0; at < area.width; at += 1)
        colours[at] = bytes.readUInt32LE(4 * at) & 0xffffff;
      this.#screen.draw({ ...area, y: area.y + row, height: 1 }, colours);
    }
  }

  async #copyRect(area: Rectangle): Promise<void> {
    const from = await this.#source.take(4);
    this.#screen.copy(area, from.readUInt16BE(0), from.readUInt16BE(2));
  }

  /** Compressed bytes are fed as the tiles ask for them: the inflater's buffer is the bound. */
  async #zrle(area: Rectangle): Promise<void> {
    const length = (await this.#source.take(4)).readUInt32BE(0);
    if (length > maxZrleBytes) throw new ClientFailure('desktop', 'ZRLE: a rectangle too large');
    // A rectangle that inflates to less than its tiles would be waited for without end.
    this.#inflated.isDry = false;
    const fed = this.#feed(length).then(() => {
      this.#inflated.isDry = true;
    });
    // What is left over is never inflated: the inflater would wait to be read, or has ended.
    const drawn = this.#tiles(area).then(() => this.#inflated.rest());
    // When one of them fails the other may wait for ever; the first failure is what counts.
    fed.catch(() => undefined);
    drawn.catch(() => undefined);
    await Promise.all([fed, drawn]);
  }

  async #feed(length: number): Promise<void> {
    for (let left = length; left > 0; ) {
      const part = await this.#source.take(Math.min(left, 64 * 1024));
      left -= part.length;
      await new Promise<void>((resolve, reject) => {
        this.#inflate.write(part, (error) => (error ? reject(error) : resolve()));
      });
    }
  }

  async #tiles(area: Rectangle): Promise<void> {
    for (let y = 0; y < area.height; y += tileSide) {
      for (let x = 0; x < area.width; x += tileSide) {
        const tile: Rectangle = {
          x: area.x + x,
          y: area.y + y,
          width: Math.min(tileSide, area.width - x),
          height: Math.min(tileSide, area.height - y),
        };
        const colours = await this.#inflated.parse((held) => decodeTile(held, tile));
        this.#screen.draw(tile, colours);
      }
    }
  }

  async #skipCursor(area: Rectangle): Promise<void> {
    if (area.width > maxCursorSide || area.height > maxCursorSide) {
      throw new ClientFailure('desktop', 'RFB: a pointer too large');
    }
    await this.#source.take(4 * area.width * area.height + Math.ceil(area.width / 8) * area.height);
  }

  #setSize({ width, height }: Geometry): void {
    if (width === this.#screen.width && height === this.#screen.height) return;
    this.#screen = new Framebuffer(width, height);
    this.#hasNewSize = true;
  }

  /** x is the reason (1: this client asked), y the status, of which only 0 is a new size. */
  async #extendedSize(area: Rectangle): Promise<void> {
    const count = (await this.#source.take(4))[0] ?? 0;
    const screens = await this.#source.take(16 * count);
    if (count > 0)
      this.#layout = { screenId: screens.readUInt32BE(0), flags: screens.readUInt32BE(12) };
    else this.#layout = { screenId: 0, flags: 0 };
    if (area.x === 1) this.#answer = { reason: area.x, status: area.y };
    if (area.x !== 1 || area.y === 0) this.#setSize(area);
  }

  close(): void {
    this.#inflate.destroy();
    this.#stream.end();
  }
}

/** RFC 6143 §7.1. Only "None" is chosen: the SSH connection is what protects this stream. */
async function handshake(stream: Duplex, source: ByteSource): Promise<void> {
  const version = /^RFB 003\.(\d{3})\n$/.exec((await source.take(12)).toString('latin1'))?.[1];
  if (version === undefined) throw new ClientFailure('desktop', 'this is not a desktop (no RFB)');
  const minor = Number(version) >= 8 ? 8 : Number(version) === 7 ? 7 : 3;
  stream.write(`RFB 003.00${minor}\n`);
  if (minor === 3) {
    const type = (await source.take(4)).readUInt32BE(0);
    if (type === 0) throw await refusal(source);
    if (type !== 1)
      throw new ClientFailure('desktop', 'the desktop asks for a password of its own');
    return;
  }
  const count = (await source.take(1))[0] ?? 0;
  if (count === 0) throw await refusal(source);
  if (!(await source.take(count)).includes(1)) {
    throw new ClientFailure('desktop', 'the desktop asks for a password of its own');
  }
  stream.write(Buffer.of(1));
  if (minor === 8 && (await source.take(4)).readUInt32BE(0) !== 0) throw await refusal(source);
}

async function refusal(source: ByteSource): Promise<ClientFailure> {
  const length = (await source.take(4)).readUInt32BE(0);
  const text = length > maxTextBytes ? 'no reason' : (await source.take(length)).toString('utf8');
  return new ClientFailure('desktop', `the desktop refuses: ${printableLine(text).slice(0, 500)}`);
}

function setDesktopSize(geometry: Geometry, layout: ScreenLayout): Buffer {
  const message = Buffer.alloc(24);
  message[0] = 251;
  message.writeUInt16BE(geometry.width, 2);
  message.writeUInt16BE(geometry.height, 4);
  message[6] = 1;
  message.writeUInt32BE(layout.screenId, 8);
  message.writeUInt16BE(geometry.width, 16);
  message.writeUInt16BE(geometry.height, 18);
  message.writeUInt32BE(layout.flags, 20);
  return message;
}
