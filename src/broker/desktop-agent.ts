/**
 * The agent socket of one desktop: each connection to it goes to the client of whoever has opened the
 * desktop last and forwards an agent (auth-agent-req@openssh.com). With nobody there its leader
 * answers SSH_AGENT_FAILURE. Runs in: monitor.
 */
import { closeSync } from 'node:fs';
import type { Log } from '../audit/log.ts';
import type { AgentWay, Desktop, Opener } from './desktop.ts';
import type { DesktopLeader } from './leader-port.ts';

interface OpenSocket {
  readonly connection: number;
  readonly end: () => void;
}

export class DesktopAgent {
  readonly #desktop: Desktop;
  readonly #leader: DesktopLeader;
  readonly #log: Log;
  /** By the leader's number. */
  readonly #open = new Map<number, OpenSocket>();

  constructor(desktop: Desktop, leader: DesktopLeader, log: Log) {
    this.#desktop = desktop;
    this.#leader = leader;
    this.#log = log;
  }

  /** A leader of an older build knows of no agent; its desktop goes on. */
  begin(): void {
    this.#leader.onAgentWanted = (socket) => void this.#serve(socket);
    this.#leader.agentWatch().catch((error: unknown) => this.#debug('not watched', error));
  }

  #debug(what: string, error: unknown): void {
    this.#log.debug(`desktop ${this.#desktop.record.id}: agent: ${what}: ${String(error)}`);
  }

  #newest(): { readonly opener: Opener; readonly way: AgentWay } | undefined {
    for (const opener of [...this.#desktop.viewers.values()].toReversed()) {
      const way = opener.isGone() ? undefined : opener.agentFor(this.#desktop.record.uid);
      if (way !== undefined) {
        return { opener, way };
      }
    }
    return undefined;
  }

  /** Never rejects. */
  async #serve(socket: number): Promise<void> {
    if (this.#newest() === undefined) {
      this.#done(socket);
      return;
    }
    let descriptor: number;
    try {
      descriptor = await this.#leader.agentTake(socket);
    } catch (error) {
      this.#debug(`connection ${socket} was not given`, error);
      return;
    }
    // Others may have come or gone meanwhile.
    const newest = this.#newest();
    if (newest === undefined) {
      closeSync(descriptor);
      this.#done(socket);
      return;
    }
    const { connection } = newest.opener;
    try {
      const end = newest.way(descriptor, () => {
        this.#open.delete(socket);
        this.#done(socket);
      });
      this.#open.set(socket, { connection, end });
    } catch (error) {
      this.#debug(`connection ${socket} cannot be passed on`, error);
      this.#done(socket);
    }
  }

  #done(socket: number): void {
    this.#leader.agentDone(socket).catch((error: unknown) => this.#debug('done', error));
  }

  /** What is served by a connection that no longer looks at the desktop ends. */
  viewersLeft(): void {
    const there = new Set([...this.#desktop.viewers.values()].map(({ connection }) => connection));
    for (const [socket, { connection, end }] of this.#open) {
      if (!there.has(connection)) {
        this.#open.delete(socket);
        end();
        this.#done(socket);
      }
    }
  }
}
