/**
 * A person at a screen: the stock TigerVNC viewer in an Xvfb, a keyboard (xdotool) and eyes
 * (screenshots of the Xvfb, read pixel by pixel).
 */
import { Child, eventually, output } from './child.ts';
import { XServer } from './x-server.ts';

export interface Colour {
  readonly red: number;
  readonly green: number;
  readonly blue: number;
}

/** Pixels of a whole screen, RGB. */
export class Picture {
  readonly width: number;
  readonly height: number;
  readonly #bytes: Buffer;

  constructor(width: number, height: number, bytes: Buffer) {
    if (bytes.length !== width * height * 3) throw new Error(`not ${width}x${height} pixels`);
    this.width = width;
    this.height = height;
    this.#bytes = bytes;
  }

  at(x: number, y: number): Colour {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) {
      throw new Error(`${x},${y} is outside ${this.width}x${this.height}`);
    }
    const at = (y * this.width + x) * 3;
    const [red = 0, green = 0, blue = 0] = this.#bytes.subarray(at, at + 3);
    return { red, green, blue };
  }

  /** Share of the pixels of an area that have the colour, give or take `tolerance` per channel. */
  share(area: Area, colour: Colour, tolerance = 0): number {
    let hits = 0;
    for (let y = area.y; y < area.y + area.height; y += 1) {
      for (let x = area.x; x < area.x + area.width; x += 1) {
        if (isNear(this.at(x, y), colour, tolerance)) hits += 1;
      }
    }
    return hits / (area.width * area.height);
  }

  equals(other: Picture): boolean {
    return this.width === other.width && this.#bytes.equals(other.#bytes);
  }

  /** Of a PNG or any other file that ImageMagick reads. */
  static async read(path: string): Promise<Picture> {
    return Picture.#fromPpm(['convert', [path, '-depth', '8', 'ppm:-']]);
  }

  /** What an X screen shows, by a client of it. */
  static async ofScreen(environment: NodeJS.ProcessEnv): Promise<Picture> {
    return Picture.#fromPpm(
      ['import', ['-silent', '-window', 'root', '-depth', '8', 'ppm:-']],
      environment,
    );
  }

  static async #fromPpm(
    [command, args]: readonly [string, readonly string[]],
    env: NodeJS.ProcessEnv = process.env,
  ): Promise<Picture> {
    const hex = await output('sh', ['-c', '"$@" | od -An -v -tx1', 'sh', command, ...args], {
      env,
    });
    const bytes = Buffer.from(hex.replace(/\s+/g, ''), 'hex');
    const head = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.toString('latin1', 0, 64));
    if (!head) throw new Error(`${command} gave no picture`);
    return new Picture(Number(head[1]), Number(head[2]), bytes.subarray(head[0].length));
  }
}

export interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export function isNear(one: Colour, other: Colour, tolerance: number): boolean {
  return (
    Math.abs(one.red - other.red) <= tolerance &&
    Math.abs(one.green - other.green) <= tolerance &&
    Math.abs(one.blue - other.blue) <= tolerance
  );
}

/** `#rrggbb`. */
export function colour(text: string): Colour {
  const value = Number.parseInt(text.slice(1), 16);
  return { red: value >> 16, green: (value >> 8) & 255, blue: value & 255 };
}

/** An Xvfb with nothing on it. */
export class Screen implements AsyncDisposable {
  readonly server: XServer;

  private constructor(server: XServer) {
    this.server = server;
  }

  static async start(geometry = '1400x1000'): Promise<Screen> {
    return new Screen(await XServer.startXvfb({ geometry }));
  }

  get environment(): NodeJS.ProcessEnv {
    return this.server.environment;
  }

  look(): Promise<Picture> {
    return Picture.ofScreen(this.environment);
  }

  /** Looks until `isSeen`; gives the picture, or fails with what it waited for. */
  lookFor(
    what: string,
    isSeen: (picture: Picture) => boolean,
    timeoutMs = 15_000,
  ): Promise<Picture> {
    return eventually(
      what,
      async () => {
        const picture = await this.look();
        return isSeen(picture) ? picture : null;
      },
      timeoutMs,
    );
  }

  /** The area of the first window whose title contains `title`. */
  async window(title: string, timeoutMs = 15_000): Promise<Area & { readonly id: string }> {
    const id = await eventually(
      `a window with ${title}`,
      async () => {
        const found = await output(
          'sh',
          ['-c', 'xdotool search --onlyvisible --name "$1" | tail -1 || true', 'sh', title],
          { env: this.environment },
        );
        return found.trim();
      },
      timeoutMs,
    );
    const text = await output('xdotool', ['getwindowgeometry', '--shell', id], {
      env: this.environment,
    });
    const field = (name: string): number =>
      Number(new RegExp(`^${name}=(-?\\d+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
    return { id, x: field('X'), y: field('Y'), width: field('WIDTH'), height: field('HEIGHT') };
  }

  /** Clicks at the place and types there; without a window manager the focus has to be given. */
  async type(text: string, at: { readonly x: number; readonly y: number }): Promise<void> {
    const env = this.environment;
    await output('xdotool', ['mousemove', String(at.x), String(at.y)], { env });
    const where = await output('xdotool', ['getmouselocation', '--shell'], { env });
    const window = /^WINDOW=(\d+)$/m.exec(where)?.[1];
    if (window === undefined) throw new Error(`no window at ${at.x},${at.y}`);
    await output('xdotool', ['windowfocus', '--sync', window], { env });
    await output('xdotool', ['click', '1'], { env });
    await output('xdotool', ['type', '--delay', '30', text], { env });
  }

  async press(key: string): Promise<void> {
    await output('xdotool', ['key', key], { env: this.environment });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
  }
}

/** The stock viewer on a socket or `host::port`, fullscreen off, so that 1 pixel is 1 pixel. */
export class StockViewer implements AsyncDisposable {
  readonly #child: Child;
  readonly #screen: Screen;

  private constructor(child: Child, screen: Screen) {
    this.#child = child;
    this.#screen = screen;
  }

  /** Lossless, so that colours can be compared exactly; never resizes the desktop. */
  static start(screen: Screen, address: string): StockViewer {
    const args = [
      '-AutoSelect=0',
      '-PreferredEncoding=ZRLE',
      '-FullColor=1',
      '-RemoteResize=0',
      '-Shared=1',
      '-ReconnectOnError=0',
      '-AlertOnFatalError=0',
      address,
    ];
    return new StockViewer(new Child('xtigervncviewer', args, { env: screen.environment }), screen);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Where the desktop's pixel 0,0 is on the screen. */
  window(): ReturnType<Screen['window']> {
    return this.#screen.window('TigerVNC');
  }

  kill(): Promise<void> {
    return this.#child.stop('SIGKILL');
  }

  get finished(): Child['finished'] {
    return this.#child.finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stop();
  }
}
