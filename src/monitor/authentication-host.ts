/** What the authentication of a connection needs of the daemon. Runs in: monitor. */
import type { LeaderClient } from '../../pam/leader-client.ts';
import type { Log } from '../audit/log.ts';
import type { CardConfig, ServerConfig } from '../policy/config.ts';
import type { MatchSubject } from '../policy/match.ts';
import type { Connection, Login } from './connection.ts';

export interface CardOwner {
  readonly user: string;
  readonly groups: readonly string[];
}

export interface AuthenticationHost {
  readonly config: ServerConfig;
  /** With the Match blocks that apply to a connection once its user is known. */
  readonly configFor: (subject: MatchSubject) => ServerConfig;
  /** What Match blocks of sshdesk_config say to the cards of one user. */
  readonly cardsFor: (owner: CardOwner) => CardConfig;
  readonly log: Log;
  readonly isRootless: boolean;
  startLeader(connection: Connection): Promise<LeaderClient>;
  /** Called once, before the client hears of it. */
  authenticated(connection: Connection, login: Login): void;
  /** Ends the connection without a word; the log has it. */
  cut(connection: Connection): void;
  readonly nowMs: () => number;
  readonly sleepMs: (ms: number) => Promise<void>;
}

/** The host as one connection has it: with a configuration and a log of its own. */
export function hostOf(
  host: Omit<AuthenticationHost, 'log'>,
  config: ServerConfig,
  log: Log,
): AuthenticationHost {
  return {
    config,
    configFor: host.configFor,
    cardsFor: host.cardsFor,
    log,
    isRootless: host.isRootless,
    startLeader: (connection) => host.startLeader(connection),
    authenticated: (connection, login) => host.authenticated(connection, login),
    cut: (connection) => host.cut(connection),
    nowMs: host.nowMs,
    sleepMs: host.sleepMs,
  };
}
