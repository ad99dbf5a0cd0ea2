/**
 * Desktops for those who are no login of this monitor: the same requests over a SEQPACKET socket.
 * Another monitor of this machine and uid (one that drains, or serves a single connection with -i)
 * has decided who its user is, and is believed. A process of a user (`sshdesk subsystem` under
 * another sshd) gets what is its own, and no more of it at a time than a person has use for.
 * Runs in: monitor.
 */
import { isIP } from 'node:net';
import { call, notice } from '../ssh/wire/call.ts';
import { text, uint32 } from '../ssh/wire/field.ts';
import { CallFailure, type Peer } from '../ssh/wire/peer.ts';
import { ViewerEnd, ViewerWarning } from '../monitor/link.ts';
import type { Broker } from './broker.ts';
import type { AnyFields, Values } from '../ssh/wire/field.ts';
import type { AgentWay } from './desktop.ts';
import type { Owner } from './outcome.ts';
import type { Ask } from './resume-guard.ts';
import { DesktopDetach, desktopFailure } from './link.ts';
import { type DesktopCaller, type DesktopRequest, valueOf } from './requests/context.ts';

/** The first call: in whose name the others are made. */
export const DesktopHello = call(87, 'desktop-hello', { user: text, uid: uint32 }, {});

/** The first call of a user's process; who it runs as is the kernel's word. from: see `LocalClaim`. */
export const DesktopHelloLocal = call(89, 'desktop-hello-local', { user: text, from: text }, {});

/** What a user's process says of itself. */
export interface LocalClaim {
  /** Which of the names of its uid; looked up before it is believed. */
  readonly user: string;
  /** The address that its sshd wrote into SSH_CONNECTION; for people to read, and for nothing else. */
  readonly from: string;
}

/**
 * A viewer whose stream the asking monitor has from an earlier owner of the desktops is counted by
 * this one. viewer: as ViewerEnd and DesktopDetach name it from here on.
 */
export const DesktopKeep = call(88, 'desktop-keep', { id: text }, { viewer: uint32 });

/** The login that asks forwards its client's agent: connections to that of its desktops may come. */
export const DesktopAgentOffer = notice(90, 'desktop-agent-offer', {});
/** To the monitor that asks: a connection to the agent of a desktop; its descriptor comes. */
export const DesktopAgentGive = notice(91, 'desktop-agent-give', { socket: uint32 });
/** Either way: that is over, or is to end. */
export const DesktopAgentEnd = notice(92, 'desktop-agent-end', { socket: uint32 });

/** Beyond every number that the monitor gives its own connections. */
const firstRemoteNumber = 0x8000_0000;
/** The dialogue asks one thing at a time, and a viewer nothing. */
export const localCallsAtOnce = 8;

/** In front of every request of a user's process (DesktopReauth). */
export type LocalGuard = (
  caller: { readonly number: number },
  owner: Owner,
  schema: DesktopRequest['schema'],
  values: Values<AnyFields>,
  ask: Ask,
) => ReturnType<Ask>;

class RemoteCaller implements DesktopCaller {
  readonly #peer: Peer;
  readonly number: number;
  #owner: Owner | undefined;
  #offersAgent = false;
  #lastAgent = 0;
  /** By number: who is told of the end. */
  readonly #agents = new Map<number, () => void>();
  /** Where its viewers are from. */
  from = 'a login of another daemon';

  constructor(peer: Peer, number: number) {
    this.#peer = peer;
    this.number = number;
  }

  set owned(owner: Owner) {
    this.#owner = owner;
  }

  owner(): Owner {
    if (this.#owner === undefined) {
      throw new CallFailure(desktopFailure.refused, 'Nobody has said whose desktops these are.');
    }
    return this.#owner;
  }

  get opener() {
    const peer = this.#peer;
    return {
      connection: this.number,
      from: this.from,
      isGone: () => peer.hasEnded,
      // Held by the monitor that asks, for as long as its login lasts.
      given: () => {},
      viewerEnd: (viewer: number, why: string, status: number) =>
        peer.notify(ViewerEnd, { connection: 0, viewer, why, status }),
      viewerWarning: (viewer: number, line: string) =>
        peer.notify(ViewerWarning, { connection: 0, viewer, line }),
      agentFor: (uid: number) => this.#agentFor(uid),
    };
  }

  #agentFor(uid: number): AgentWay | undefined {
    const peer = this.#peer;
    if (!this.#offersAgent || this.#owner?.uid !== uid || peer.hasEnded) {
      return undefined;
    }
    return (descriptor, over) => {
      const socket = ++this.#lastAgent;
      this.#agents.set(socket, over);
      peer.notify(DesktopAgentGive, { socket }, [descriptor]);
      return () => {
        this.#agents.delete(socket);
        peer.notify(DesktopAgentEnd, { socket });
      };
    };
  }

  offerAgent(): void {
    this.#offersAgent = true;
  }

  agentEnded(socket: number): void {
    const over = this.#agents.get(socket);
    this.#agents.delete(socket);
    over?.();
  }
}

export class RemoteDesktops {
  readonly #broker: Broker;
  readonly #requests: readonly DesktopRequest[];
  readonly #localGuard: LocalGuard;
  #lastNumber = firstRemoteNumber;

  constructor(broker: Broker, requests: readonly DesktopRequest[], localGuard: LocalGuard) {
    this.#broker = broker;
    this.#requests = requests;
    this.#localGuard = localGuard;
  }

  /** The caller has checked that the peer runs as this monitor's own uid. */
  serveMonitor(peer: Peer, onEnd: () => void): void {
    // It has asked its logins itself.
    const through: LocalGuard = (_caller, _owner, schema, values, ask) => ask(schema, values);
    const caller = this.#serve(peer, Number.POSITIVE_INFINITY, through, onEnd);
    peer.onNotice(DesktopAgentOffer, () => caller.offerAgent());
    peer.onNotice(DesktopAgentEnd, ({ socket }) => caller.agentEnded(socket));
    peer.onCall(DesktopHello, async ({ user, uid }) => {
      caller.owned = { user, uid };
      return { values: {} };
    });
  }

  /** `admit`: whose desktops they are, or a CallFailure. The number is that of its viewers. */
  serveLocal(peer: Peer, admit: (claim: LocalClaim) => Promise<Owner>, onEnd: () => void): number {
    const caller = this.#serve(peer, localCallsAtOnce, this.#localGuard, onEnd);
    let isAsked = false;
    peer.onCall(DesktopHelloLocal, async (claim) => {
      if (isAsked) {
        throw new CallFailure(desktopFailure.refused, 'Whose desktops these are was said before.');
      }
      isAsked = true;
      // Nothing but an address can be said.
      const from = isIP(claim.from.replace(/%[\w.-]{1,16}$/, '')) === 0 ? '' : claim.from;
      caller.owned = await admit({ ...claim, from });
      caller.from = from === '' ? 'this machine' : `${from}, as another sshd has said`;
      return { values: {} };
    });
    return caller.number;
  }

  #serve(peer: Peer, mostAtOnce: number, guard: LocalGuard, onEnd: () => void): RemoteCaller {
    const caller = new RemoteCaller(peer, ++this.#lastNumber);
    let underWay = 0;
    const bounded = async <T>(run: () => Promise<T> | T): Promise<T> => {
      if (underWay >= mostAtOnce) {
        throw new CallFailure(desktopFailure.refused, 'Too many requests at once.');
      }
      underWay++;
      try {
        return await run();
      } finally {
        underWay--;
      }
    };
    peer.onCall(DesktopKeep, ({ id }) =>
      bounded(async () => {
        const { viewer } = valueOf(await this.#broker.keep(caller.owner(), id, caller.opener));
        return { values: { viewer } };
      }),
    );
    const handlers = new Map(this.#requests.map(({ schema, handle }) => [schema.name, handle]));
    const ask: Ask = async (schema, values) =>
      (handlers.get(schema.name) as DesktopRequest['handle'])(caller, values);
    for (const { schema } of this.#requests) {
      peer.onCall(schema, (values) =>
        bounded(async () => {
          const answer = await guard(caller, caller.owner(), schema, values, ask);
          return { values: answer.values, descriptors: answer.descriptors ?? [] };
        }),
      );
    }
    peer.onNotice(DesktopDetach, ({ viewer }) => this.#broker.detach(caller.number, viewer));
    peer.onEnd = () => {
      this.#broker.connectionClosed(caller.number);
      onEnd();
    };
    return caller;
  }
}
