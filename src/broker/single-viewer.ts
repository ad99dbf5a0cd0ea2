/**
 * A desktop whose engine takes one viewer at a time: each is made ready for with a cookie of its own,
 * the one before is suspended first, and the session begins behind the first. Runs in: monitor.
 */
import { EngineError } from '../base/errors.ts';
import type { EngineOrder, EngineParameters, SingleViewer, ViewerState } from './engine.ts';
import type { DesktopLeader } from './leader-port.ts';

/** What the engine is given to change from one state into the next. */
const changeMs = 15_000;
/** The viewer's own end has to introduce itself; a slow line takes its time. */
const introductionMs = 60_000;
const lookEveryMs = 15;
const logTailBytes = 16 * 1024;
const sigHup = 1;
const settled: readonly ViewerState[] = ['running', 'waiting', 'suspended'];

export interface SingleViewerHost {
  readonly leader: Pick<
    DesktopLeader,
    'writeFiles' | 'signalProcess' | 'logTail' | 'connectUnix' | 'desktopNote'
  >;
  /** Aborted with the first sign of the desktop's end. */
  readonly signal: AbortSignal;
  readonly engine: SingleViewer;
  /** Of the engine's own process. */
  readonly handle: number;
  /** Of the desktop's own programs. */
  readonly displayCookie: Buffer;
  readonly socketPath: string;
  sleepMs(ms: number): Promise<void>;
  newCookie(): string;
  log(line: string): void;
}

/** Kept by the leader, for a monitor that comes later. */
interface Note {
  readonly handle: number;
  readonly hasSession: boolean;
  readonly displayCookie: Buffer;
  readonly parameters: EngineParameters;
}

export function readNote(bytes: Buffer): Note | undefined {
  try {
    const { handle, hasSession, displayCookie, parameters } = JSON.parse(bytes.toString('utf8'));
    return Number.isSafeInteger(handle) && typeof displayCookie === 'string'
      ? {
          handle,
          hasSession: hasSession === true,
          displayCookie: Buffer.from(displayCookie, 'hex'),
          parameters: new Map(parameters),
        }
      : undefined;
  } catch {
    return undefined; // nothing was noted
  }
}

export interface Introduction {
  /** A stream to the engine; the caller's. */
  readonly descriptor: number;
  readonly cookie: string;
}

export class SingleViewerDesktop {
  readonly #host: SingleViewerHost;
  #order: EngineOrder;
  #cookie: string;
  /** Undefined: it has begun. */
  #beginSession: (() => Promise<void>) | undefined;
  #state: ViewerState = 'changing';
  /** What the log said when a viewer was connected to it. */
  #stale: string | undefined;
  /** Viewers come one after another. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    host: SingleViewerHost,
    order: EngineOrder,
    cookie: string,
    beginSession: (() => Promise<void>) | undefined,
  ) {
    this.#host = host;
    this.#order = order;
    this.#cookie = cookie;
    this.#beginSession = beginSession;
  }

  get order(): EngineOrder {
    return this.#order;
  }

  /** The files are there and the engine's process has been started: until it takes its first viewer. */
  async ready(): Promise<void> {
    await this.#note();
    await this.#until('waiting', changeMs);
  }

  /** Those that came before have been cut off, or are now. `order`: as this viewer wants it. */
  connect(order: EngineOrder, cutOthers: () => void): Promise<Introduction> {
    const next = this.#last.then(() => this.#connect(order, cutOthers));
    this.#last = next.catch(() => undefined); // the one who waits is told
    return next;
  }

  /** The engine says goodbye to its viewer; false: it does not, and the stream is to be cut. */
  async suspend(): Promise<boolean> {
    try {
      // One that is on its way into the next state hears no signal, or ends.
      await this.#until(settled, changeMs);
      if (this.#state !== 'running') {
        return false;
      }
      await this.#host.leader.signalProcess(this.#host.handle, sigHup);
      await this.#until('suspended', changeMs);
      return true;
    } catch (error) {
      this.#host.log(`is not suspended: ${String(error)}`);
      return false;
    }
  }

  async #connect(order: EngineOrder, cutOthers: () => void): Promise<Introduction> {
    const { leader, handle, engine, socketPath, newCookie, displayCookie } = this.#host;
    await this.suspend();
    cutOthers();
    await this.#until(['waiting', 'suspended'], changeMs);
    if (this.#state === 'suspended') {
      this.#order = order;
      this.#cookie = newCookie();
      await leader.writeFiles(engine.below, engine.files(order, this.#cookie, displayCookie));
      await leader.signalProcess(handle, sigHup);
      await this.#until('waiting', changeMs);
    }
    const descriptor = await leader.connectUnix(socketPath);
    // It waits no longer, though its log still says so.
    this.#stale = await this.#tail();
    this.#follow();
    return { descriptor, cookie: this.#cookie };
  }

  /** The session begins behind the first viewer. Never rejects. */
  #follow(): void {
    const begin = this.#beginSession;
    if (begin === undefined) {
      return;
    }
    this.#until('running', introductionMs)
      .then(async () => {
        if (this.#beginSession === begin) {
          this.#beginSession = undefined;
          await begin();
          await this.#note();
        }
      })
      .catch((error: unknown) => this.#host.log(`has no session: ${String(error)}`));
  }

  async #note(): Promise<void> {
    const { handle, displayCookie, leader } = this.#host;
    const hasSession = this.#beginSession === undefined;
    const note = {
      handle,
      hasSession,
      displayCookie: displayCookie.toString('hex'),
      parameters: [...this.#order.parameters],
    };
    await leader.desktopNote(Buffer.from(JSON.stringify(note)));
  }

  async #look(): Promise<ViewerState> {
    const tail = await this.#tail();
    this.#state =
      tail === this.#stale ? 'changing' : (this.#host.engine.stateOf(tail) ?? this.#state);
    return this.#state;
  }

  async #tail(): Promise<string> {
    const { leader, handle } = this.#host;
    return (await leader.logTail(handle, logTailBytes)).toString('latin1');
  }

  async #until(wanted: ViewerState | readonly ViewerState[], patienceMs: number): Promise<void> {
    const states = [wanted].flat();
    for (let left = patienceMs; ; left -= lookEveryMs) {
      if (states.includes(await this.#look())) {
        return;
      }
      if (this.#host.signal.aborted) {
        throw new EngineError('ready', 'it has ended');
      }
      if (left <= 0) {
        throw new EngineError('ready', `it is ${this.#state} and not ${states.join(' or ')}`);
      }
      await this.#host.sleepMs(lookEveryMs);
    }
  }
}
