/** What a `session` channel needs of the privileged side; in a worker it asks the monitor. */
import type { Duplex, Readable, Writable } from 'node:stream';
import type { LendingSource, Pace } from '../ssh/connection/pump.ts';

export interface SessionHost {
  /** refused.reason: RFC 4254 §5.1. */
  open(): Promise<
    { readonly opened: HostedSession } | { readonly refused: number; readonly text: string }
  >;
}

/** As the client sent it; nothing of it is checked yet. */
export interface X11Request {
  readonly singleConnection: boolean;
  readonly authProtocol: Buffer;
  readonly authData: Buffer;
  readonly screen: number;
}

export interface Terminal {
  readonly term: Buffer;
  readonly columns: number;
  readonly rows: number;
  readonly widthPixels: number;
  readonly heightPixels: number;
  /** Encoded terminal modes, RFC 4254 §8. */
  readonly modes: Buffer;
}

export type SessionExitStatus =
  | { readonly is: 'exited'; readonly status: number }
  | { readonly is: 'signalled'; readonly signalName: string; readonly coreDumped: boolean };

export type Started =
  | { readonly is: 'refused' }
  | {
      readonly is: 'process';
      readonly stdin: Writable;
      /** Best a `PipeSource`, which makes no garbage. */
      readonly stdout: Readable | LendingSource;
      readonly stderr: Readable | LendingSource;
    }
  /** greeting: what the user reads in front of what is written to it. */
  | { readonly is: 'pty'; readonly pty: PtyStream; readonly greeting?: Buffer }
  /** Nothing runs: the user reads why, on stderr or as output, and the session exits with `status`. */
  | {
      readonly is: 'told';
      readonly text: Buffer;
      readonly status: number;
      readonly isOutput: boolean;
    }
  /** A subsystem that runs in this process, on the channel itself. */
  | { readonly is: 'internal'; readonly name: string };

/** A pty master (`base/pty.native.ts`). Its end comes when the last holder of the slave has gone. */
export interface PtyStream extends Duplex {
  resize(columns: number, rows: number, widthPixels: number, heightPixels: number): void;
}

export interface HostedSession {
  readonly number: number;
  pty(terminal: Terminal): Promise<boolean>;
  env(name: Buffer, value: Buffer): Promise<boolean>;
  /** auth-agent-req@openssh.com */
  forwardAgent(): Promise<boolean>;
  /** x11-req (RFC 4254 §6.3.1) */
  forwardX11(request: X11Request): Promise<boolean>;
  start(kind: 'shell' | 'exec' | 'subsystem', command: Buffer): Promise<Started>;
  signal(signalName: string): Promise<boolean>;
  /** Called at most once, after `start` gave a process or pty. */
  onExit: (exit: SessionExitStatus) => void;
  /** A line for the user on stderr (warnings of a desktop). */
  onWarning: (line: string) => void;
  close(): void;
}

/** How far behind the process of a subsystem is let fall. */
export interface SubsystemPace extends Pace {
  /** What the process writes, as it is, seen. */
  watch(source: LendingSource): LendingSource;
}

/** By the name of the subsystem; row of `subsystems/index.ts`. */
export type SubsystemPaces = ReadonlyMap<string, () => SubsystemPace>;

/** A subsystem that the worker itself runs; row of `subsystems/index.ts`, keyed by its name. */
export type InternalSubsystem<Channel, Context> = (channel: Channel, context: Context) => void;
