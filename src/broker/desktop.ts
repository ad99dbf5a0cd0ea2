/** One desktop that lives or is about to end: its record, its leader, its viewers. Runs in: monitor. */
import type { DesktopLeader } from './leader-port.ts';
import type { DisplayEngine, EngineOrder, EngineParameters } from './engine.ts';
import type { SingleViewerDesktop } from './single-viewer.ts';
import { type DesktopEvent, nextState } from './states.ts';
import type { DesktopRecord, DesktopStore } from './store.ts';

/** What others may know of a desktop. */
export interface DesktopView {
  readonly id: string;
  readonly name: string;
  readonly owner: string;
  readonly state: DesktopRecord['state'];
  readonly engine: string;
  readonly type: string;
  /** Windows of their own on the viewer's screen. */
  readonly rootless: boolean;
  readonly display: number;
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly startedAtMs: number;
  readonly lastUsedAtMs: number;
  readonly viewers: number;
  /** Where each viewer is from, as far as it is known. */
  readonly viewedFrom: readonly string[];
}

/** Exit status of a session whose viewer the server ends. */
export const viewerStatus = { suspended: 0, ended: 1 } as const;

/**
 * Takes a connection to a desktop's agent socket over; throws when it cannot, and has closed it then.
 * `over`: once, in a later turn, unless what is returned was called before: that ends it.
 */
export type AgentWay = (descriptor: number, over: () => void) => () => void;

/** The client of a login whose agent is forwarded. */
export interface AgentClient {
  /** Of the login. */
  readonly uid: number;
  /** Owns the descriptor. */
  give(socket: number, descriptor: number): void;
}

/** Who looks at a desktop: a connection, and the way to tell its worker something. */
export interface Opener {
  readonly connection: number;
  /** For people: where it comes from, and who says so where that is not this monitor. */
  readonly from: string;
  /** It ended while it waited; whatever is set for it now would stay for ever. */
  isGone(): boolean;
  /** The stream of this viewer, before anybody has it. Throws: it is not to be given away. */
  given(viewer: number, id: string, descriptor: number): void;
  /** The viewer is over; its stream with it. status: of the session that runs it. */
  viewerEnd(viewer: number, why: string, status: number): void;
  viewerWarning(viewer: number, line: string): void;
  /** For desktops of this uid. undefined: its client has not asked for it, or may not. */
  agentFor(uid: number): AgentWay | undefined;
}

export class Desktop {
  #record: DesktopRecord;
  readonly #store: DesktopStore;
  readonly engine: DisplayEngine;
  /** Set once it has started. */
  leader: DesktopLeader | undefined;
  /** Of an engine that takes one viewer at a time. */
  single: SingleViewerDesktop | undefined;
  /** The one that came last is the last. */
  readonly viewers = new Map<number, Opener>();
  /** Who serves its agent socket; set with its leader. */
  agent: { viewersLeft(): void } | undefined;
  /** The connection that started it and has not looked at it yet. */
  startedBy: number | undefined;
  /** Its display is being asked for its size. */
  measured: Promise<void> | undefined;
  /** For viewers, as soon as there is one. */
  warning: string | undefined;
  /** Settled when it has ended and nothing of it is left. */
  over: Promise<void> | undefined;

  readonly parameters: EngineParameters;

  constructor(
    record: DesktopRecord,
    store: DesktopStore,
    engine: DisplayEngine,
    parameters: EngineParameters,
  ) {
    this.#record = record;
    this.parameters = parameters;
    this.#store = store;
    this.engine = engine;
  }

  get record(): DesktopRecord {
    return this.#record;
  }

  get view(): DesktopView {
    const {
      uid: _uid,
      directory: _directory,
      endedAtMs: _ended,
      reason: _reason,
      ...view
    } = this.#record;
    const viewedFrom = [...this.viewers.values()].map(({ from }) => from);
    const { type } = view;
    const rootless = this.engine.isRootless({ type, parameters: this.parameters });
    return { ...view, rootless, viewers: this.viewers.size, viewedFrom };
  }

  get userDirectory(): string {
    return `${this.#record.directory}/user`;
  }

  get xauthorityPath(): string {
    return `${this.userDirectory}/Xauthority`;
  }

  /** As its engine is told. */
  order(parameters: EngineParameters): EngineOrder {
    const { userDirectory, xauthorityPath } = this;
    return { ...this.#record, userDirectory, xauthorityPath, parameters };
  }

  /** False: the table has no such transition, and nothing has changed. */
  apply(event: DesktopEvent, nowMs: number, reason = ''): boolean {
    const state = nextState(this.#record.state, event);
    if (state === undefined) {
      return false;
    }
    const { id } = this.#record;
    if (state === 'ended' || state === 'failed') {
      this.#store.setEnded(id, state, nowMs, reason);
      this.#record = { ...this.#record, state, reason, endedAtMs: nowMs };
    } else {
      this.#store.setState(id, state);
      this.#record = { ...this.#record, state };
    }
    return true;
  }

  used(nowMs: number): void {
    this.#store.setUsed(this.#record.id, nowMs);
    this.#record = { ...this.#record, lastUsedAtMs: nowMs };
  }

  resized(width: number, height: number): void {
    if (width !== this.#record.width || height !== this.#record.height) {
      this.#store.setSize(this.#record.id, width, height);
      this.#record = { ...this.#record, width, height };
    }
  }

  moveTo(display: number): void {
    this.#store.setDisplay(this.#record.id, display);
    this.#record = { ...this.#record, display };
  }

  /** Every viewer, or every one but this, is told and forgotten, its stream cut. */
  endViewers(why: string, status: number, except?: number): void {
    const viewers = [...this.viewers].filter(([viewer]) => viewer !== except);
    for (const [viewer] of viewers) {
      this.viewers.delete(viewer);
    }
    for (const [viewer, opener] of viewers) {
      opener.viewerEnd(viewer, why, status);
    }
    this.agent?.viewersLeft();
  }

  warn(line: string): void {
    if (this.viewers.size === 0) {
      this.warning = line;
    }
    for (const [viewer, opener] of this.viewers) {
      opener.viewerWarning(viewer, line);
    }
  }
}
