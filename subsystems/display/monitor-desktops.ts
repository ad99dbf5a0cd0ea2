/** `Desktops` over the link to the monitor, and who is told of a viewer's end. Runs in: worker. */
import type { Duplex } from 'node:stream';
import {
  DesktopAttach,
  DesktopDetach,
  type DesktopFailure,
  DesktopFind,
  DesktopList,
  DesktopStart,
  DesktopSuspend,
  DesktopTerminate,
  desktopFailure,
} from '../../src/broker/link.ts';
import { CallFailure, type Peer } from '../../src/ssh/wire/peer.ts';
import type {
  Desktop,
  DesktopAnswer,
  DesktopRefusal,
  Desktops,
  NewDesktop,
  Viewer,
} from './desktops.ts';

const maxKeptWarnings = 4;

class LinkedViewer implements Viewer {
  readonly stream: Duplex;
  #onEnd: ((why: string) => void) | undefined;
  #onWarning: ((line: string) => void) | undefined;
  #endedBecause: string | undefined;
  #warnings: string[] = [];

  constructor(stream: Duplex) {
    this.stream = stream;
  }

  get onEnd(): (why: string) => void {
    return this.#onEnd ?? (() => {});
  }
  set onEnd(listener: (why: string) => void) {
    this.#onEnd = listener;
    if (this.#endedBecause !== undefined) {
      listener(this.#endedBecause);
    }
  }

  get onWarning(): (line: string) => void {
    return this.#onWarning ?? (() => {});
  }
  set onWarning(listener: (line: string) => void) {
    this.#onWarning = listener;
    const warnings = this.#warnings;
    this.#warnings = [];
    for (const line of warnings) {
      listener(line);
    }
  }

  end(why: string): void {
    this.#endedBecause = why;
    this.#onEnd?.(why);
  }

  warn(line: string): void {
    if (this.#onWarning !== undefined) {
      this.#onWarning(line);
    } else if (this.#warnings.length < maxKeptWarnings) {
      this.#warnings.push(line);
    }
  }
}

/** The viewers of one worker; its notices `viewer-end` and `viewer-warning` go here. */
export class ViewerTable {
  readonly #viewers = new Map<number, LinkedViewer>();

  add(viewer: number, stream: Duplex): Viewer {
    const linked = new LinkedViewer(stream);
    this.#viewers.set(viewer, linked);
    return linked;
  }

  remove(viewer: number): void {
    this.#viewers.delete(viewer);
  }

  end(viewer: number, why: string): void {
    this.#viewers.get(viewer)?.end(why);
  }

  warn(viewer: number, line: string): void {
    this.#viewers.get(viewer)?.warn(line);
  }
}

const failures = new Map<number, DesktopFailure>(
  Object.entries(desktopFailure).map(([name, code]) => [code, name as DesktopFailure]),
);

function refusalOf(error: CallFailure): DesktopRefusal {
  const [text = '', ...logTail] = error.text.split('\n');
  return { is: 'failed', failure: failures.get(error.code) ?? 'engine', text, logTail };
}

/** Only what the monitor refused is an answer; a broken link is an exception. */
async function answerOf<T>(call: Promise<T>): Promise<DesktopAnswer<T>> {
  try {
    return { is: 'done', value: await call };
  } catch (error) {
    if (error instanceof CallFailure) {
      return refusalOf(error);
    }
    throw error;
  }
}

export interface MonitorDesktopsOptions {
  readonly peer: Peer;
  readonly user: string;
  readonly connection: number;
  /** The session that runs the subsystem; 0 for a direct-tcpip channel. */
  readonly session: number;
  readonly viewers: ViewerTable;
  /** Owns the descriptor. */
  openStream(descriptor: number): Duplex;
}

export class MonitorDesktops implements Desktops {
  readonly #options: MonitorDesktopsOptions;

  constructor(options: MonitorDesktopsOptions) {
    this.#options = options;
  }

  get user(): string {
    return this.#options.user;
  }

  get #from(): { readonly connection: number; readonly session: number } {
    const { connection, session } = this.#options;
    return { connection, session };
  }

  list(): Promise<DesktopAnswer<readonly Desktop[]>> {
    const { peer } = this.#options;
    return answerOf(peer.call(DesktopList, this.#from).then(({ values }) => values.desktops));
  }

  start({ protocol, ...order }: NewDesktop): Promise<DesktopAnswer<Desktop>> {
    const values = { ...this.#from, ...order, engine: protocol };
    const { peer } = this.#options;
    return answerOf(peer.call(DesktopStart, values).then((answer) => answer.values.desktop));
  }

  find(which: string): Promise<DesktopAnswer<Desktop>> {
    return this.#find(which, 0);
  }

  findOrStart(name: string): Promise<DesktopAnswer<Desktop>> {
    return this.#find(name, 1);
  }

  #find(which: string, create: number): Promise<DesktopAnswer<Desktop>> {
    const { peer } = this.#options;
    const values = { ...this.#from, which, create };
    return answerOf(peer.call(DesktopFind, values).then((answer) => answer.values.desktop));
  }

  attach(id: string): Promise<DesktopAnswer<Viewer>> {
    return answerOf(this.#attach(id));
  }

  async #attach(id: string): Promise<Viewer> {
    const { peer, viewers, connection, openStream } = this.#options;
    const { values, descriptors } = await peer.call(DesktopAttach, { ...this.#from, id });
    const { viewer } = values;
    const descriptor = descriptors[0];
    if (descriptor === undefined) {
      throw new CallFailure(desktopFailure.engine, 'The display of the desktop does not answer.');
    }
    const stream = openStream(descriptor);
    stream.once('close', () => {
      viewers.remove(viewer);
      peer.notify(DesktopDetach, { connection, viewer });
    });
    return viewers.add(viewer, stream);
  }

  suspend(id: string): Promise<DesktopAnswer<void>> {
    const { peer } = this.#options;
    return answerOf(peer.call(DesktopSuspend, { ...this.#from, id }).then(() => undefined));
  }

  terminate(id: string): Promise<DesktopAnswer<void>> {
    const { peer } = this.#options;
    return answerOf(peer.call(DesktopTerminate, { ...this.#from, id }).then(() => undefined));
  }
}
