/** What the desktop requests share: who may, and how an outcome is answered. Runs in: monitor. */
import { MonitorRefusal } from '../../base/errors.ts';
import type { Connection, Login, WorkerPort } from '../../monitor/connection.ts';
import { loginOf } from '../../monitor/login.ts';
import { mayOpenDesktop } from '../../monitor/session-plan.ts';
import type { Answer } from '../../monitor/request-table.ts';
import type { Call } from '../../ssh/wire/call.ts';
import type { AnyFields, Values } from '../../ssh/wire/field.ts';
import { CallFailure } from '../../ssh/wire/peer.ts';
import type { Broker } from '../broker.ts';
import type { Outcome, Owner } from '../outcome.ts';
import type { AgentHolds } from '../agent-holds.ts';
import type { AgentClient, DesktopView, Opener } from '../desktop.ts';
import { desktopFailure } from '../link.ts';
import type { ViewerHolds } from '../viewer-holds.ts';

export interface DesktopRequestContext {
  readonly broker: Broker;
}

/** Who asks: a login of this monitor, or of another one over the desktops' socket. */
export interface DesktopCaller {
  readonly opener: Opener;
  /** Throws when this session may not ask for desktops. */
  owner(session: number): Owner;
}

export interface DesktopRequest<Q extends AnyFields = AnyFields, R extends AnyFields = AnyFields> {
  readonly schema: Call<Q, R>;
  handle(caller: DesktopCaller, values: Values<Q>): Promise<Answer<R>> | Answer<R>;
}

/** Ties the handler to its schema. */
export function desktopRequest<Q extends AnyFields, R extends AnyFields>(
  schema: Call<Q, R>,
  handle: DesktopRequest<Q, R>['handle'],
): DesktopRequest {
  return { schema, handle } as unknown as DesktopRequest;
}

function isDesktopSession(connection: Connection, session: number): boolean {
  const startedAs = connection.sessions.get(session)?.startedAs;
  const isDirect = session === 0 && connection.mayReachDesktopDirectly;
  return isDirect || startedAs === 'rfb' || startedAs === 'display';
}

/**
 * The owner whose desktops this login may open. A session that is no desktop subsystem ends the
 * connection; a grant that does not allow desktops is a refusal that the user reads.
 */
export function ownerOf(connection: Connection, session: number): Owner {
  if (!isDesktopSession(connection, session)) {
    throw new MonitorRefusal(`session ${session} asks for desktops, but is no desktop subsystem`);
  }
  const login: Login = loginOf(connection);
  if (!mayOpenDesktop(login).allowed) {
    throw new CallFailure(desktopFailure.refused, 'Desktops are not permitted for this login.');
  }
  const { account, tickets, config } = login;
  return {
    user: account.user,
    uid: account.uid,
    groups: account.groups,
    tickets,
    pamService: config.pamServiceName,
    allowAgentForwarding: config.allowAgentForwarding && !config.disableForwarding,
  };
}

/** Throws what was not done, as the worker is told. */
export function valueOf<T>(outcome: Outcome<T>): T {
  if (outcome.is === 'failed') {
    throw new CallFailure(desktopFailure[outcome.failure], outcome.text);
  }
  return outcome.value;
}

/** As `link.ts` has it: times are ISO 8601 UTC. */
export function wireDesktop(view: DesktopView) {
  const { startedAtMs, lastUsedAtMs, viewedFrom: _from, ...same } = view;
  return {
    ...same,
    startedAt: new Date(startedAtMs).toISOString(),
    lastUsedAt: new Date(lastUsedAtMs).toISOString(),
  };
}

/** Who looks at desktops through this process: a login, or the user of `sshdesk subsystem`. */
export interface Onlooker {
  readonly number: number;
  readonly closed: boolean;
  readonly endpoints: { readonly remoteAddress: string };
  readonly worker: Pick<WorkerPort, 'viewerEnd' | 'viewerWarning'>;
  /** Of a login: its lines carry the connection's id. */
  readonly log?: Connection['log'];
  /** Once it was granted to forward its client's agent. */
  readonly agentClient?: AgentClient | undefined;
}

/** The monitor's hold on what its workers were given of desktops. */
export interface DesktopHolds {
  readonly viewers: ViewerHolds;
  readonly agents: AgentHolds;
}

export function openerOf(connection: Onlooker, holds: DesktopHolds): Opener {
  const { number, worker, endpoints, log } = connection;
  return {
    connection: number,
    from: endpoints.remoteAddress,
    isGone: () => connection.closed,
    given(viewer, id, descriptor) {
      log?.verbose(`desktop ${id}: viewer ${viewer} connected`, {
        event: 'desktop.opened',
        desktop: id,
      });
      holds.viewers.hold(number, viewer, id, descriptor);
    },
    viewerEnd(viewer, why, status) {
      log?.verbose(`viewer ${viewer} of a desktop ended: ${why}`, {
        event: 'desktop.left',
        reason: why,
      });
      worker.viewerEnd(number, viewer, why, status);
      // The worker may be somebody else's by now.
      holds.viewers.end(number, viewer);
    },
    viewerWarning: (viewer, line) => worker.viewerWarning(number, viewer, line),
    agentFor(uid) {
      const client = connection.agentClient;
      return client?.uid === uid
        ? (descriptor, over) => {
            log?.debug('a program in a desktop asks for the agent of this connection');
            return holds.agents.give(number, client, descriptor, over);
          }
        : undefined;
    },
  };
}

export function callerOf(connection: Connection, holds: DesktopHolds): DesktopCaller {
  return {
    opener: openerOf(connection, holds),
    owner: (session) => ownerOf(connection, session),
  };
}
