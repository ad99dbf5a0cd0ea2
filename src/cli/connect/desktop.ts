/**
 * Opens desktops over a session: the `rfb` subsystem for the default one, the dialogue of `display`
 * for a named or sized one. Gives streams that are RFB from their first byte. Runs in: user.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ClientFailure } from '../../ssh/client/failure.ts';
import type { ClientSession, Subsystem } from '../../ssh/client/session.ts';
import { ByteSource } from './byte-source.ts';
import { DisplayDialogue } from './dialogue.ts';
import type { ListedDesktop, OpenAs, SaidOfIt } from './dialogue.ts';
import type { NxSession } from './nx-proxy.ts';
import { Patience, within } from './patience.ts';
import type { Questioning } from './questions.ts';
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
/** The server would ask something, and cannot on this channel (docs/protocol/display.md). */
const mustAskStatus = 77;
const defaultName = 'default';

/** Texts of the server, bounded, held until they are wanted. */
class HeldText {
  readonly #show: (text: string) => void;
  #held: string | null = '';
  #chars = 0;

  constructor(show: (text: string) => void) {
    this.#show = show;
  }

  take(text: string): void {
    if (this.#chars >= maxWarningChars) return;
    this.#chars += text.length;
    if (this.#held === null) this.#show(text);
    else this.#held += text;
  }

  tell(): void {
    const held = this.#held;
    this.#held = null;
    if (held) this.#show(held);
  }
}

export class Desktops {
  readonly #session: ClientSession;
  readonly #request: DesktopRequest;
  readonly #terminal: Terminal;
  readonly #questioning: Questioning;

  constructor(
    session: ClientSession,
    request: DesktopRequest,
    terminal: Terminal,
    questioning: Questioning,
  ) {
    this.#session = session;
    this.#request = request;
    this.#terminal = terminal;
    this.#questioning = questioning;
  }

  async list(): Promise<ListedDesktop[]> {
    const channel = await this.#channel('display');
    const dialogue = new DisplayDialogue(channel, this.#questioning);
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

  /** A channel on which the server waits for the proxy to speak first. */
  async openNx(link: string): Promise<{ readonly channel: Subsystem; readonly nx: NxSession }> {
    this.#terminal.progress('starting the desktop …');
    const { name, geometry } = this.#request;
    const channel = await this.#channel('display');
    const patience = new Patience(startTimeoutMs, 'the desktop');
    const as = { protocol: 'nx', link } as const;
    const opened = this.#negotiate(channel, patience, name ?? defaultName, geometry, as);
    try {
      const { said } = await patience.with(opened);
      return { channel, nx: nxSessionOf(said) };
    } catch (error) {
      channel.close();
      throw error;
    }
  }

  async #open(): Promise<{ channel: Subsystem; wasLive: boolean }> {
    const { name, geometry } = this.#request;
    if (name === null && geometry === null) {
      const channel = await this.#openDefault();
      if (channel) return { channel, wasLive: true };
    }
    return this.#openByDialogue(name ?? defaultName, geometry);
  }

  /** Null: the server wants to ask something first, which goes by the dialogue only. */
  async #openDefault(): Promise<Subsystem | null> {
    const { channel, said } = await this.#quietChannel('rfb');
    try {
      const start = await within(startTimeoutMs, firstByte(channel), 'the desktop');
      if (start.is === 'ended' && start.status === mustAskStatus) return null;
      said.tell();
      failUnlessStarted(start);
      return channel;
    } catch (error) {
      said.tell();
      channel.close();
      throw error;
    }
  }

  async #openByDialogue(name: string, geometry: Geometry | null) {
    const channel = await this.#channel('display');
    const patience = new Patience(startTimeoutMs, 'the desktop');
    const opened = (async () => {
      const { wasLive } = await this.#negotiate(channel, patience, name, geometry);
      failUnlessStarted(await firstByte(channel));
      return wasLive;
    })();
    try {
      return { channel, wasLive: await patience.with(opened) };
    } catch (error) {
      channel.close();
      throw error;
    }
  }

  /** `wasLive`: the desktop was there already. */
  async #negotiate(
    channel: Subsystem,
    patience: Patience,
    name: string,
    geometry: Geometry | null,
    as?: OpenAs,
  ): Promise<{ readonly wasLive: boolean; readonly said: SaidOfIt }> {
    const dialogue = new DisplayDialogue(channel, this.#questioning, as);
    dialogue.onAsking = (isAsking) => {
      if (isAsking) patience.pause();
      else patience.begin();
    };
    await dialogue.greet();
    const live = (await dialogue.list()).find((desktop) => desktop.name === name);
    const said = live ? await dialogue.restore(live.id) : await dialogue.start(name, geometry);
    await dialogue.enterTunnel();
    return { wasLive: live !== undefined, said };
  }

  async #channel(subsystem: string): Promise<Subsystem> {
    const { channel, said } = await this.#quietChannel(subsystem);
    said.tell();
    return channel;
  }

  /** What comes on stderr is held back until it is told. */
  async #quietChannel(subsystem: string): Promise<{ channel: Subsystem; said: HeldText }> {
    const channel = await this.#session.subsystem(subsystem);
    const said = new HeldText((text) => this.#terminal.show(text));
    channel.stderr.setEncoding('utf8');
    channel.stderr.on('data', (text: string) => said.take(text));
    return { channel, said };
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

/** It becomes part of an option string. */
function nxSessionOf(said: SaidOfIt): NxSession {
  const [cookie = '', display = ''] = [said.get(701), said.get(705)];
  if (!/^[0-9a-f]{32}$/.test(cookie) || !/^\d{1,5}$/.test(display)) {
    throw new ClientFailure('desktop', 'the server does not say how its proxy is reached');
  }
  return { cookie, display: Number(display) };
}

type Start = { readonly is: 'started' } | { readonly is: 'ended'; readonly status: number | null };

/** Waits for the first bytes and puts them back; the end before them is a start that failed. */
async function firstByte(channel: Subsystem): Promise<Start> {
  const allSaid = closed(channel);
  const source = new ByteSource(channel, 'the desktop');
  const chunk = await source.chunk();
  if (chunk === null) {
    return {
      is: 'ended',
      status: await Promise.race([allSaid, delay(2000, null, { ref: false })]),
    };
  }
  source.release();
  channel.unshift(chunk);
  return { is: 'started' };
}

function failUnlessStarted(start: Start): void {
  if (start.is === 'ended') {
    const how = start.status === null ? '' : ` (exit status ${start.status})`;
    throw new ClientFailure('desktop', `the desktop did not start${how}`);
  }
}

/** Its exit status; that and the last lines of stderr come before the close. */
function closed(channel: Subsystem): Promise<number | null> {
  return new Promise((resolve) => {
    channel.once('close', (code: number | null | undefined) => resolve(code ?? null));
  });
}
