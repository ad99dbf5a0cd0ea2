/**
 * The desktops of the authenticated user, as a channel sees them. In a worker every call asks the
 * monitor. Runs in: worker.
 */
import type { Duplex } from 'node:stream';
import type { Parameters } from './parameters.ts';
import type { DesktopFailure } from '../../src/broker/link.ts';

export interface Desktop {
  /** 32 upper-case hex digits. */
  readonly id: string;
  readonly name: string;
  readonly owner: string;
  readonly state: string;
  readonly engine: string;
  readonly type: string;
  /** Windows of their own on the viewer's screen. */
  readonly rootless: boolean;
  readonly display: number;
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  /** ISO 8601 UTC. */
  readonly startedAt: string;
  readonly lastUsedAt: string;
  readonly viewers: number;
}

export interface NewDesktop {
  readonly name: string;
  /** Empty: the default. */
  readonly protocol: string;
  readonly type: string;
  /** Zeros: the default. */
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  /** What the client said besides; the engine takes of it what it knows. */
  readonly parameters: Parameters;
}

export interface AttachOrder {
  /** What the viewer speaks. */
  readonly protocol: string;
  /** What the client said besides. */
  readonly parameters: Parameters;
}

/** RFB takes nothing besides. */
export const asRfb: AttachOrder = { protocol: 'rfb', parameters: new Map() };

/** What was not done; `logTail` are the last lines of the engine's log, oldest first. */
export interface DesktopRefusal {
  readonly is: 'failed';
  readonly failure: DesktopFailure;
  readonly text: string;
  readonly logTail: readonly string[];
}
export type DesktopAnswer<T> = { readonly is: 'done'; readonly value: T } | DesktopRefusal;

export interface ViewerEnding {
  /** A line for the user. */
  readonly why: string;
  /** How a session that runs the viewer exits. */
  readonly status: number;
}

/** A stream connected to a display; destroying it is the end of the viewer. */
export interface Viewer {
  readonly stream: Duplex;
  /** By which the desktop knows this viewer; empty: it needs none. */
  readonly cookie: string;
  /**
   * The desktop was suspended or has ended, or the display has dropped this viewer; the stream is
   * dead, and still to be destroyed. Once, unless the viewer ended first.
   */
  onEnd: (end: ViewerEnding) => void;
  /** A line for the user; lines that came before it was set are kept. */
  onWarning: (line: string) => void;
}

/** PAM's questions, or its verdict; bytes as PAM gave them. */
export interface Reauthentication {
  readonly is: 'accepted' | 'refused' | 'prompt';
  /** In front of the questions, or with the verdict. */
  readonly instruction: Buffer;
  readonly prompts: readonly { readonly text: Buffer; readonly echo: boolean }[];
}

export interface Desktops {
  readonly user: string;
  list(): Promise<DesktopAnswer<readonly Desktop[]>>;
  start(order: NewDesktop): Promise<DesktopAnswer<Desktop>>;
  /** By id or name. */
  find(which: string): Promise<DesktopAnswer<Desktop>>;
  /** Empty: the default desktop. Started if it is not there. */
  findOrStart(name: string): Promise<DesktopAnswer<Desktop>>;
  attach(id: string, as: AttachOrder): Promise<DesktopAnswer<Viewer>>;
  /** Where `attach` has failed with `reauthentication`; one at a time. */
  reauthenticate(id: string): Promise<DesktopAnswer<Reauthentication>>;
  /** They are erased. Another number of answers than of prompts gives it up. */
  answer(answers: readonly Buffer[]): Promise<DesktopAnswer<Reauthentication>>;
  suspend(id: string): Promise<DesktopAnswer<void>>;
  terminate(id: string): Promise<DesktopAnswer<void>>;
}

export interface DisplayContext {
  readonly desktops: Desktops;
  /** What the host calls itself, without its domain. */
  readonly hostName: string;
  /** What a session speaks whose client does not say it. */
  readonly defaultProtocol: string;
  /** A fault of ours or a broken link; it is to be logged and ends the connection. */
  fault(error: unknown): void;
}

/** Where the user is yet to be known: `desktops` is there once `login` has said yes. */
export interface LoginContext extends DisplayContext {
  /** Once. Both are erased. False: no, whatever the reason. */
  login(user: Buffer, password: Buffer): Promise<boolean>;
}
