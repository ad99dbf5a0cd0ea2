/** `Desktops` over the link to the monitor, and who is told of a viewer's end. Runs in: worker. */
import type { Duplex } from 'node:stream';
import {
  DesktopAnswer as AnswerCall,
  DesktopAttach,
  DesktopDetach,
  type DesktopFailure,
  DesktopFind,
  DesktopList,
  DesktopReauthenticate,
  DesktopStart,
  DesktopSuspend,
  DesktopTerminate,
  desktopFailure,
  reauthenticationIs,
} from '../../src/broker/link.ts';
import { CallFailure, type Peer } from '../../src/ssh/wire/peer.ts';
import type {
  AttachOrder,
  Desktop,
  DesktopAnswer,
  DesktopRefusal,
  Desktops,
  NewDesktop,
  Reauthentication,
  Viewer,
  ViewerEnding,
} from './desktops.ts';
import { maxParameters, type Parameters } from './parameters.ts';

const maxKeptWarnings = 4;
/** What the leader takes to see the end of the X server, and the monitor to say so. */
const reasonPatienceMs = 3_000;

class LinkedViewer implements Viewer {
  readonly stream: Duplex;
  readonly cookie: string;
  #onEnd: ((end: ViewerEnding) => void) | undefined;
  #onWarning: ((line: string) => void) | undefined;
  #ending: ViewerEnding | undefined;
  readonly #told = Promise.withResolvers<void>();
  #warnings: string[] = [];

  constructor(stream: Duplex, cookie: string) {
    this.stream = stream;
    this.cookie = cookie;
  }

  get onEnd(): (end: ViewerEnding) => void {
    return this.#onEnd ?? (() => {});
  }
  set onEnd(listener: (end: ViewerEnding) => void) {
    this.#onEnd = listener;
    if (this.#ending !== undefined) {
      listener(this.#ending);
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

  /** The first word counts. */
  end(ending: ViewerEnding): void {
    if (this.#ending === undefined) {
      this.#ending = ending;
      this.#told.resolve();
      this.#onEnd?.(ending);
    }
  }

  /** The stream has ended by itself: the monitor, which sees the desktop's end too, may say why. */
  async endedByItself(): Promise<void> {
    const tooLong = Promise.withResolvers<void>();
    const timer = setTimeout(() => tooLong.resolve(), reasonPatienceMs);
    await Promise.race([this.#told.promise, tooLong.promise]);
    clearTimeout(timer);
    this.end({ why: 'The display has closed the connection.', status: 1 });
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

  add(viewer: number, stream: Duplex, cookie: string): LinkedViewer {
    const linked = new LinkedViewer(stream, cookie);
    this.#viewers.set(viewer, linked);
    return linked;
  }

  remove(viewer: number): void {
    this.#viewers.delete(viewer);
  }

  end(viewer: number, ending: ViewerEnding): void {
    this.#viewers.get(viewer)?.end(ending);
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

function judged({
  is,
  instruction,
  prompts,
}: Omit<Reauthentication, 'is'> & { readonly is: number }): Reauthentication {
  // What is not known opens nothing: `attach` is asked again, and the monitor knows.
  const name = is === reauthenticationIs.prompt ? 'prompt' : 'refused';
  return {
    is: is === reauthenticationIs.accepted ? 'accepted' : name,
    instruction,
    prompts,
  };
}

/** As many as a frame of the link takes. */
function wireParameters(said: Parameters): readonly { name: string; value: string }[] {
  return [...said].slice(0, maxParameters).map(([name, value]) => ({ name, value }));
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

  start({ protocol, parameters, ...order }: NewDesktop): Promise<DesktopAnswer<Desktop>> {
    const said = wireParameters(parameters);
    const values = { ...this.#from, ...order, engine: protocol, parameters: said };
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

  attach(id: string, as: AttachOrder): Promise<DesktopAnswer<Viewer>> {
    return answerOf(this.#attach(id, as));
  }

  async #attach(id: string, { protocol, parameters: said }: AttachOrder): Promise<Viewer> {
    const { peer, viewers, connection, openStream } = this.#options;
    const parameters = wireParameters(said);
    const asked = { ...this.#from, id, protocol, parameters };
    const { values, descriptors } = await peer.call(DesktopAttach, asked);
    const { viewer, cookie } = values;
    const descriptor = descriptors[0];
    if (descriptor === undefined) {
      throw new CallFailure(desktopFailure.engine, 'The display of the desktop does not answer.');
    }
    const stream = openStream(descriptor);
    const linked = viewers.add(viewer, stream, cookie);
    const leave = (): void => {
      viewers.remove(viewer);
      peer.notify(DesktopDetach, { connection, viewer });
    };
    let isDisplayGone = false;
    stream.on('error', () => {
      isDisplayGone = true;
    });
    stream.once('end', () => {
      // A display that answers our own end is no news. It never closes one direction alone.
      isDisplayGone = !stream.writableEnded;
      stream.destroy();
    });
    stream.once('close', () => {
      if (isDisplayGone) {
        // Never rejects.
        void linked.endedByItself().then(leave);
      } else {
        leave();
      }
    });
    return linked;
  }

  async reauthenticate(id: string): Promise<DesktopAnswer<Reauthentication>> {
    const { peer } = this.#options;
    return answerOf(
      peer.call(DesktopReauthenticate, { ...this.#from, id }).then(({ values }) => judged(values)),
    );
  }

  async answer(answers: readonly Buffer[]): Promise<DesktopAnswer<Reauthentication>> {
    const { peer } = this.#options;
    const asked = peer.call(AnswerCall, { ...this.#from, answers });
    // The frame has its own copy, and is erased with it.
    for (const answer of answers) {
      answer.fill(0);
    }
    return answerOf(asked.then(({ values }) => judged(values)));
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
