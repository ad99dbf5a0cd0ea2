/**
 * Where `sshdesk subsystem`, run by another sshd as its user, asks for that user's desktops.
 * Everybody may connect; who asks is the kernel's word (SO_PEERCRED), the name that belongs to it
 * a leader's. Such a peer is as hostile as a worker and gets less. Runs in: monitor.
 */
import { chmodSync, readFileSync, rmSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import type { Log } from '../audit/log.ts';
import {
  Acceptor,
  closeDescriptor,
  listenSeqpacket,
  peerCredentials,
} from '../base/socket.native.ts';
import { desktopFailure } from '../broker/link.ts';
import type { Owner } from '../broker/outcome.ts';
import type { LocalClaim, RemoteDesktops } from '../broker/remote.ts';
import { LineBudget } from '../monitor/line-budget.ts';
import type { LoadedDesktop } from '../policy/load.ts';
import { CallFailure, type Peer } from '../ssh/wire/peer.ts';
import type { Leaders } from './leaders.ts';
import { localAccount } from './local-account.ts';
import { peerOn } from './peer-on.ts';
import type { Places } from './places.ts';

export interface LocalLimits {
  readonly connectionsPerUid: number;
  readonly connections: number;
  /** From connect to the answer of the first call. */
  readonly helloMs: number;
}
export const localLimits: LocalLimits = {
  /** A viewer, or a dialogue, each. */
  connectionsPerUid: 64,
  connections: 1024,
  helloMs: 20_000,
};

const backlog = 1024;
/** More than a person's shells and scripts come to; each step is a file of /proc that is read. */
const deepestLineage = 128;
/** Processes in between may end while they are looked at. */
const lineageTries = 3;

export interface LocalSocketOptions {
  readonly places: Places;
  readonly log: Log;
  readonly isRootless: boolean;
  /** Whether one of these processes is the leader of a login here that may open no desktop. */
  readonly isBarred: (processes: ReadonlySet<number>) => boolean;
  /** As it is now. */
  readonly configFor: LoadedDesktop['configFor'];
}

/** A user's process that asks for desktops. */
export interface LocalVisit {
  readonly owner: Owner;
  readonly from: string;
  readonly startedAtMs: number;
  /** Of its viewers. */
  readonly number: number;
}

export class LocalSocket {
  readonly #desktops: RemoteDesktops;
  readonly #leaders: Leaders;
  readonly #options: LocalSocketOptions;
  readonly #limits: LocalLimits;
  readonly #peers = new Map<Peer, number>();
  readonly #visits = new Map<Peer, LocalVisit>();
  /** One lookup at a time for each uid; `waiting`: those whose connection has ended, too. */
  readonly #lookups = new Map<number, { last: Promise<unknown>; waiting: number }>();
  readonly #lines = new LineBudget(() => performance.now());
  #acceptor: Acceptor | undefined;

  constructor(
    desktops: RemoteDesktops,
    leaders: Leaders,
    options: LocalSocketOptions,
    limits = localLimits,
  ) {
    this.#desktops = desktops;
    this.#leaders = leaders;
    this.#options = options;
    this.#limits = limits;
  }

  /** Only the owner of the desktops listens, so a path that is there is a dead daemon's. */
  listen(): void {
    const { places, isRootless, log } = this.#options;
    rmSync(places.localSocket, { force: true });
    const descriptor = listenSeqpacket(places.localSocket, backlog);
    chmodSync(places.localSocket, isRootless ? 0o600 : 0o666);
    this.#acceptor = new Acceptor(descriptor, (accepted) => this.#accept(accepted.descriptor));
    this.#acceptor.onTrouble = (error) => log.error(`local socket: ${error.message}`);
  }

  #accept(descriptor: number): void {
    const { log } = this.#options;
    let uid: number;
    let pid: number;
    try {
      ({ uid, pid } = peerCredentials(descriptor));
    } catch (error) {
      closeDescriptor(descriptor);
      log.error(`local socket: ${String(error)}`);
      return;
    }
    const ofUid = [...this.#peers.values()].filter((one) => one === uid).length;
    if (this.#peers.size >= this.#limits.connections || ofUid >= this.#limits.connectionsPerUid) {
      closeDescriptor(descriptor);
      return;
    }
    const peer = peerOn(descriptor, log, true);
    this.#peers.set(peer, uid);
    const timer = setTimeout(() => end(), this.#limits.helloMs);
    const end = (): void => {
      clearTimeout(timer);
      this.#visits.delete(peer);
      if (this.#peers.delete(peer)) {
        peer.close();
      }
    };
    const admit = async (claim: LocalClaim): Promise<Owner> => {
      const owner = await this.#admit(peer, uid, pid, claim);
      clearTimeout(timer);
      if (this.#peers.has(peer)) {
        this.#visits.set(peer, { owner, from: claim.from, startedAtMs: Date.now(), number });
      }
      return owner;
    };
    const number = this.#desktops.serveLocal(peer, admit, end);
  }

  get visits(): readonly LocalVisit[] {
    return [...this.#visits.values()];
  }

  async #admit(peer: Peer, uid: number, pid: number, claim: LocalClaim): Promise<Owner> {
    if (this.#options.isRootless && uid !== process.getuid?.()) {
      throw refusal('This server has desktops for its own user only.');
    }
    const queue = this.#lookups.get(uid) ?? { last: Promise.resolve(), waiting: 0 };
    if (queue.waiting >= this.#limits.connectionsPerUid) {
      throw refusal('Too many connections of this user are being looked at.');
    }
    // Behind those that are under way for this uid, and each in a turn of its own: nobody keeps others
    // waiting.
    const lookup = queue.last
      .catch(() => {})
      .then(() => setImmediate())
      .then(() => {
        if (!this.#peers.has(peer)) {
          throw refusal('The connection has ended.');
        }
        this.#checkLogin(uid, pid);
        return this.#lookUp(uid, claim);
      });
    queue.last = lookup;
    queue.waiting++;
    this.#lookups.set(uid, queue);
    try {
      return await lookup;
    } finally {
      queue.waiting--;
      if (queue.waiting === 0) {
        this.#lookups.delete(uid);
      }
    }
  }

  /**
   * A leader is the reaper of all that its login has started: nobody gets from below it by forking, by
   * forking deeply, or by leaving the connection to another process.
   */
  #checkLogin(uid: number, pid: number): void {
    const processes = lineageOf(pid);
    if (processes === undefined) {
      this.#tellRefused(`pid ${pid} of uid ${uid}`, 'not known below which login it is');
      throw refusal('It cannot be told which login asks.');
    }
    if (this.#options.isBarred(new Set(processes))) {
      this.#tellRefused(`pid ${pid} of uid ${uid}`, 'its login may open no desktop');
      throw refusal('Desktops are not permitted for this login.');
    }
  }

  /** Everybody may ask as often as he likes; the log has an end. */
  #tellRefused(who: string, why: string): void {
    const untold = this.#lines.take();
    if (untold !== undefined) {
      const more = untold === 0 ? '' : ` (${untold} like it were not told)`;
      this.#options.log.info(`local socket: ${who} is refused: ${why}${more}`);
    }
  }

  async #lookUp(uid: number, { user, from }: LocalClaim): Promise<Owner> {
    const { log, configFor } = this.#options;
    const account = await localAccount(this.#leaders, { user, uid }, configFor);
    if (account.is === 'refused') {
      this.#tellRefused(`uid ${uid}`, account.detail);
      throw refusal(account.text);
    }
    const where = from === '' ? '' : `, who says to come from ${from}`;
    log.verbose(`local socket: desktops of ${account.owner.user} (uid ${uid})${where}`);
    return account.owner;
  }

  close(): void {
    if (this.#acceptor !== undefined) {
      this.#acceptor.close();
      for (const peer of this.#peers.keys()) {
        peer.close();
      }
      rmSync(this.#options.places.localSocket, { force: true });
    }
  }
}

/** Undefined: it has none. */
function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // Behind the name, which may hold blanks and brackets: state, then the parent.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    // It has ended, or is hidden (hidepid of proc(5)).
    return undefined;
  }
}

/** The process and all above it; undefined: one of them has ended, or there are too many. */
function lineage(pid: number): readonly number[] | undefined {
  if (pid < 1) {
    return undefined; // of another PID namespace
  }
  const found: number[] = [];
  let next: number | undefined = pid;
  while (next > 1) {
    if (found.length === deepestLineage) {
      return undefined;
    }
    found.push(next);
    next = parentOf(next);
    if (next === undefined) {
      // Without root others' processes may be hidden, but not the one that asks, nor a leader.
      return found.length > 1 && parentOf(1) === undefined ? found : undefined;
    }
  }
  return found;
}

function lineageOf(pid: number): readonly number[] | undefined {
  let found: readonly number[] | undefined;
  for (let tries = 0; tries < lineageTries && found === undefined; tries++) {
    found = lineage(pid);
  }
  return found;
}

function refusal(text: string): CallFailure {
  return new CallFailure(desktopFailure.refused, text);
}
