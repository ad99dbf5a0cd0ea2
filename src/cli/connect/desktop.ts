/**
 * Opens desktops over a session: the `rfb` subsystem for the default one, the dialogue of `display`
 * for a named or sized one. Gives streams that are RFB from their first byte. Runs in: user.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ClientFailure } from '../../ssh/client/failure.ts';
import type { ClientSession, Subsystem } from '../../ssh/client/session.ts';
import { ByteSource } from './byte-source.ts';
import { DisplayDialogue } from './dialogue.ts';
import type { ListedDesktop } from './dialogue.ts';
import { RfbClient } from './rfb-client.ts';
import type { Geometry } from './target.ts';
import type { Terminal } from './terminal.ts';

export interface DesktopRequest {
  /** Null: the default desktop. */
  readonly name: string | null;
  readonly geometry: Geometry | null;
}

const startTimeoutMs = 120 * 1000;
const resizeTimeoutMs = 30 * 1000;
const maxWarningChars = 64 * 1024;
const defaultName = 'default';

export class Desktops {
  readonly #session: ClientSession;
  readonly #request: DesktopRequest;
  readonly #terminal: Terminal;

  constructor(session: ClientSession, request: DesktopRequest, terminal: Terminal) {
    this.#session = session;
    this.#request = request;
    this.#terminal = terminal;
  }

  async list(): Promise<ListedDesktop[]> {
    const channel = await this.#channel('display');
    const dialogue = new DisplayDialogue(channel);
    const listed = (async () => {
      await dialogue.greet();
      return dialogue.list();
    })();
    const desktops = await within(startTimeoutMs, listed, 'the list of desktops');
    dialogue.quit();
    channel.close();
    return desktops;
  }

  /**
   * The desktop is up and has the wished size when this resolves: the size of one that was there
   * already can only be changed by a viewer.
   */
  async prepare(): Promise<void> {
    this.#terminal.progress('starting the desktop …');
    const { channel, wasLive } = await this.#open();
    const { geometry } = this.#request;
    if (geometry && wasLive) await this.#resize(channel, geometry);
    channel.close();
  }

  /** A channel on which the server's first RFB bytes have come. */
  async open(): Promise<Subsystem> {
    this.#terminal.progress('starting the desktop …');
    return (await this.#open()).channel;
  }

  async #open(): Promise<{ channel: Subsystem; wasLive: boolean }> {
    const { name, geometry } = this.#request;
    const isDefault = name === null && geometry === null;
    const channel = await this.#channel(isDefault ? 'rfb' : 'display');
    const opened = (async () => {
      const wasLive = isDefault || (await this.#negotiate(channel, name ?? defaultName, geometry));
      await firstByte(channel);
      return wasLive;
    })();
    try {
      return { channel, wasLive: await within(startTimeoutMs, opened, 'the desktop') };
    } catch (error) {
      channel.close();
      throw error;
    }
  }

  /** True: the desktop was there already. */
  async #negotiate(channel: Subsystem, name: string, geometry: Geometry | null) {
    const dialogue = new DisplayDialogue(channel);
    await dialogue.greet();
    const live = (await dialogue.list()).find((desktop) => desktop.name === name);
    if (live) await dialogue.restore(live.id);
    else await dialogue.start(name, geometry);
    await dialogue.enterTunnel();
    return live !== undefined;
  }

  async #channel(subsystem: string): Promise<Subsystem> {
    const channel = await this.#session.subsystem(subsystem);
    let shown = 0;
    channel.stderr.setEncoding('utf8');
    channel.stderr.on('data', (text: string) => {
      if (shown < maxWarningChars) this.#terminal.show(text);
      shown += text.length;
    });
    return channel;
  }

  async #resize(channel: Subsystem, geometry: Geometry): Promise<void> {
    const resized = (async () => {
      const client = await RfbClient.open(channel);
      const isDone = await client.resize(geometry);
      client.close();
      return isDone;
    })();
    if (!(await within(resizeTimeoutMs, resized, 'the new size'))) {
      const { width, height } = geometry;
      this.#terminal.line(`Warning: the desktop does not take the size ${width}x${height}.`);
    }
  }
}

/** Waits for the first bytes and puts them back; the end before them is a start that failed. */
async function firstByte(channel: Subsystem): Promise<void> {
  const allSaid = closed(channel);
  const source = new ByteSource(channel, 'the desktop');
  const chunk = await source.chunk();
  if (chunk === null) {
    const status = await Promise.race([allSaid, delay(2000, null, { ref: false })]);
    const how = status === null ? '' : ` (exit status ${status})`;
    throw new ClientFailure('desktop', `the desktop did not start${how}`);
  }
  source.release();
  channel.unshift(chunk);
}

/** Its exit status; that and the last lines of stderr come before the close. */
function closed(channel: Subsystem): Promise<number | null> {
  return new Promise((resolve) => {
    channel.once('close', (code: number | null | undefined) => resolve(code ?? null));
  });
}

/** The value, or a failure that names what did not come in time. */
export async function within<Value>(
  ms: number,
  promise: Promise<Value>,
  what: string,
): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new ClientFailure('desktop', `${what} does not come within ${ms / 1000} s`)),
      ms,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
