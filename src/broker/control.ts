/**
 * The local control socket: JSON lines, each answered by one line, in order. Who asks is known from
 * the socket's peer credentials; a user sees and ends his own desktops, root all. Runs in: monitor.
 */
import { once } from 'node:events';
import { StringDecoder } from 'node:string_decoder';
import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Broker } from './broker.ts';
import { type ListedLogin, type Logins, type PastLogin, pastLoginQuery } from './control-logins.ts';
import type { Asker, Outcome } from './outcome.ts';
import type { DesktopView } from './desktop.ts';
import type { DesktopRecord } from './store.ts';

export const controlActions = ['list', 'history', 'suspend', 'terminate'] as const;
export type ControlAction = (typeof controlActions)[number];

/** What is asked of logins. */
export const loginActions = ['who', 'last'] as const;
export type LoginAction = (typeof loginActions)[number];

export interface ControlRequest {
  readonly action: ControlAction;
  /** Id or name; for `suspend` and `terminate`. */
  readonly which?: string;
}

export interface LoginRequest {
  readonly action: LoginAction;
  /** For `last`. */
  readonly user?: string;
  readonly sinceMs?: number;
  readonly count?: number;
}

/** As `sessions --json` prints it. Times are ISO 8601 UTC. */
export interface ListedDesktop {
  readonly id: string;
  readonly name: string;
  readonly owner: string;
  readonly state: string;
  readonly engine: string;
  readonly display: number;
  readonly geometry: string;
  readonly depth: number;
  readonly startedAt: string;
  readonly lastUsedAt: string;
  readonly viewers: number;
  /** Where each viewer is from, as far as it is known. */
  readonly viewedFrom: readonly string[];
}
export interface PastDesktop extends ListedDesktop {
  readonly endedAt: string;
  readonly reason: string;
}

export type ControlReply =
  | { readonly is: 'done'; readonly desktops: readonly ListedDesktop[] }
  | { readonly is: 'who'; readonly logins: readonly ListedLogin[] }
  | { readonly is: 'last'; readonly logins: readonly PastLogin[] }
  | { readonly is: 'failed'; readonly text: string };

export interface ControlLimits {
  readonly connectionsPerUid: number;
  readonly connections: number;
  readonly requestsPerConnection: number;
  readonly lineBytes: number;
  readonly idleMs: number;
  readonly historyRows: number;
}
export const controlLimits: ControlLimits = {
  connectionsPerUid: 8,
  connections: 128,
  requestsPerConnection: 64,
  lineBytes: 1024,
  idleMs: 10_000,
  historyRows: 1_000,
};

type Shown = Omit<DesktopView, 'rootless' | 'viewers' | 'viewedFrom'> &
  Partial<Pick<DesktopView, 'viewers' | 'viewedFrom'>>;

function listed(desktop: Shown): ListedDesktop {
  const { id, name, owner, state, engine, display, width, height, depth } = desktop;
  return {
    id,
    name,
    owner,
    state,
    engine,
    display,
    geometry: `${width}x${height}`,
    depth,
    startedAt: new Date(desktop.startedAtMs).toISOString(),
    lastUsedAt: new Date(desktop.lastUsedAtMs).toISOString(),
    viewers: desktop.viewers ?? 0,
    viewedFrom: desktop.viewedFrom ?? [],
  };
}

function past(record: DesktopRecord): PastDesktop {
  const endedAtMs = record.endedAtMs ?? record.lastUsedAtMs;
  return {
    ...listed(record),
    endedAt: new Date(endedAtMs).toISOString(),
    reason: record.reason,
  };
}

function objectOf(line: string): object | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  return typeof value === 'object' && value !== null ? value : undefined;
}

/** Undefined: not a request. */
function parseRequest(line: string): ControlRequest | undefined {
  const value = objectOf(line);
  if (value === undefined || !('action' in value)) {
    return undefined;
  }
  const action = controlActions.find((one) => one === value.action);
  const which = 'which' in value ? value.which : undefined;
  if (action === undefined || (which !== undefined && typeof which !== 'string')) {
    return undefined;
  }
  return which === undefined ? { action } : { action, which };
}

function changed(outcome: Outcome<DesktopView>): ControlReply {
  return outcome.is === 'done'
    ? { is: 'done', desktops: [listed(outcome.value)] }
    : { is: 'failed', text: outcome.text };
}

export class ControlServer {
  readonly #broker: Broker;
  readonly #limits: ControlLimits;
  /** Where there are logins to tell of. */
  logins: Logins | undefined;
  readonly #onFault: (error: unknown) => void;
  readonly #open = new Map<Socket, number>();

  constructor(broker: Broker, onFault: (error: unknown) => void, limits = controlLimits) {
    this.#broker = broker;
    this.#limits = limits;
    this.#onFault = onFault;
  }

  /** `uid` is the peer's, as the kernel says. Owns the socket. */
  accept(socket: Socket, uid: number): void {
    const { connections, connectionsPerUid, idleMs } = this.#limits;
    const ofUid = [...this.#open.values()].filter((one) => one === uid).length;
    if (this.#open.size >= connections || ofUid >= connectionsPerUid) {
      socket.destroy();
      return;
    }
    this.#open.set(socket, uid);
    // Who has said all he wants to say still gets his answers.
    socket.allowHalfOpen = true;
    socket.setTimeout(idleMs, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#open.delete(socket));
    this.#serve(socket, uid === 0 ? 'everybody' : uid).catch((error: unknown) => {
      socket.destroy();
      // The peer's going away while it is being read is no fault.
      if (!(error instanceof Error && 'code' in error)) {
        this.#onFault(error);
      }
    });
  }

  close(): void {
    for (const socket of this.#open.keys()) {
      socket.destroy();
    }
  }

  async #serve(socket: Socket, asker: Asker): Promise<void> {
    let input = '';
    let requests = 0;
    // A character may come in two pieces.
    const decoder = new StringDecoder('utf8');
    for await (const chunk of socket) {
      input += decoder.write(chunk as Buffer);
      for (let end = input.indexOf('\n'); end >= 0; end = input.indexOf('\n')) {
        const line = input.slice(0, end);
        input = input.slice(end + 1);
        requests++;
        if (line.length > this.#limits.lineBytes || requests > this.#limits.requestsPerConnection) {
          return;
        }
        // A desktop may take its time to end; the peer is not idle meanwhile.
        socket.setTimeout(0);
        const reply = await this.#answer(asker, line);
        socket.setTimeout(this.#limits.idleMs);
        const isTaken = socket.write(`${JSON.stringify(reply)}\n`);
        // A turn for others between two answers, and no answers for one who does not read them.
        await (isTaken ? nextTurn() : Promise.race([once(socket, 'drain'), once(socket, 'close')]));
        if (socket.destroyed) {
          return;
        }
      }
      if (input.length > this.#limits.lineBytes) {
        return;
      }
    }
    socket.end();
  }

  /** Undefined: it is no question of logins. */
  #answerOfLogins(asker: Asker, line: string): ControlReply | undefined {
    const value = objectOf(line);
    const asked = value !== undefined && 'action' in value ? value.action : undefined;
    const action = loginActions.find((one) => one === asked);
    if (value === undefined || action === undefined) {
      return undefined;
    }
    if (this.logins === undefined) {
      return { is: 'failed', text: 'This process serves no logins; no daemon runs.' };
    }
    if (action === 'who') {
      return { is: 'who', logins: this.logins.who(asker) };
    }
    const query = pastLoginQuery(value);
    const logins = query === undefined ? undefined : this.logins.last(asker, query);
    if (logins === undefined) {
      const text =
        query === undefined
          ? 'This is not a request.'
          : "Logins are not recorded; the daemon's log says why.";
      return { is: 'failed', text };
    }
    return { is: 'last', logins };
  }

  async #answer(asker: Asker, line: string): Promise<ControlReply> {
    const aboutLogins = this.#answerOfLogins(asker, line);
    if (aboutLogins !== undefined) {
      return aboutLogins;
    }
    const request = parseRequest(line);
    if (request === undefined) {
      return { is: 'failed', text: 'This is not a request.' };
    }
    const { action, which = '' } = request;
    switch (action) {
      case 'list':
        return { is: 'done', desktops: (await this.#broker.listMeasured(asker)).map(listed) };
      case 'history': {
        const records = this.#broker.history(asker, this.#limits.historyRows);
        const shown = records.filter(({ id, name }) => [id, name, ''].includes(which));
        return { is: 'done', desktops: shown.map(past) };
      }
      case 'suspend':
        return changed(await this.#broker.suspend(asker, which));
      case 'terminate':
        return changed(await this.#broker.terminate(asker, which));
    }
  }
}
