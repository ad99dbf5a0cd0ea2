/**
 * The account `nx` of old clients in front of its dialogue: one key pair that all of them share lets
 * its holder say who he is, and no more. There is no system account behind it, so no leader and no
 * PAM: until a real user has logged in, nothing is started. Runs in: monitor.
 */
import { MonitorRefusal } from '../base/errors.ts';
import type { Log } from '../audit/log.ts';
import { mayLogin } from '../policy/access.ts';
import type { ServerConfig } from '../policy/config.ts';
import { maxFailures } from './attempts.ts';
import { type AuthReply, authReply } from './auth-reply.ts';
import type { AuthenticationHost } from './authentication-host.ts';
import type { Connection, OngoingAuthentication, OngoingHandshake } from './connection.ts';
import { authIs } from './link.ts';
import type { LoggedProof } from './offered-key.ts';
import type { PenaltyKind } from './source-penalties.ts';

export const handshakeUser = Buffer.from('nx');
const name = handshakeUser.toString();
/** Of keys that would do: a client asks and signs. */
const maxAcceptableQueries = 16;
const byApplication = 2;
/** There is no account, so it has none. */
const noShell = '';

export class Handshake implements OngoingAuthentication, OngoingHandshake {
  readonly claimedUser = handshakeUser;
  readonly connection: Connection;
  readonly config: ServerConfig;
  readonly log: Log;
  readonly loggedPlain = name;
  readonly isValid: boolean;
  #isIn = false;
  #isOver = false;
  #wasAttempted = false;
  #failures = 0;
  #acceptableQueries = 0;

  constructor(connection: Connection, host: Pick<AuthenticationHost, 'configFor'>) {
    const { remoteAddress, localAddress, localPort } = connection.endpoints;
    this.connection = connection;
    this.log = connection.log;
    this.config = host.configFor({
      user: name,
      isInvalidUser: false,
      groups: [],
      remoteHost: remoteAddress,
      remoteAddress,
      localAddress,
      localPort,
      routingDomain: '',
    });
    // It is in no group, so that those keywords cannot name it, and it has no shell.
    const { allowUsers, denyUsers } = this.config;
    const verdict = mayLogin(
      { allowUsers, denyUsers, allowGroups: [], denyGroups: [], chrootDirectory: undefined },
      { user: name, groups: [], remoteAddress, shell: noShell, shellState: 0, isLocked: false },
    );
    if (!verdict.allowed) {
      this.log.info(verdict.detail, { event: 'user.refused', reason: verdict.reason });
    }
    this.isValid = verdict.allowed;
  }

  get isIn(): boolean {
    return this.#isIn;
  }
  get isEndTold(): boolean {
    return this.#isOver;
  }
  get penalty(): PenaltyKind {
    if (this.config.refuseConnection) {
      return 'refuseconnection';
    }
    return this.#wasAttempted && !this.#isIn ? 'authfail' : 'noauth';
  }

  begin(banner: Buffer): AuthReply {
    if (this.config.refuseConnection) {
      const { from } = this.connection;
      this.log.info(`administratively prohibited connection for ${name} from ${from}`);
      return this.#over('connection refused by the configuration');
    }
    if (!this.config.pubkeyAuthentication) {
      this.log.error(`NXLegacyAccount: PubkeyAuthentication no lets nobody in as ${name}`);
      return this.#over('no authentication methods enabled');
    }
    return this.#hasTriesLeft ? this.#refusal(banner) : this.#tooMany();
  }

  /** A request of authentication: none may follow the one that was right, or the last. */
  beginAttempt(): void {
    if (this.#isIn || this.#isOver) {
      throw new MonitorRefusal(`an attempt as ${name} after the last one`);
    }
  }

  get mayAskForKeys(): boolean {
    return this.#acceptableQueries < maxAcceptableQueries;
  }

  acceptable(): AuthReply {
    this.#wasAttempted = true;
    this.#acceptableQueries++;
    return authReply(authIs.acceptable);
  }

  /** What every client asks first; it is no attempt. */
  none(): AuthReply {
    return this.#refusal();
  }

  refuse(method: string, key?: LoggedProof): AuthReply {
    this.#wasAttempted = true;
    this.#failures++;
    const tail = key === undefined ? '' : `: ${key.text}`;
    this.log.info(`Failed ${method} for ${name} from ${this.connection.from} ssh2${tail}`, {
      event: 'authentication.failed',
      isValidUser: this.isValid,
      method,
      ...key?.fields,
    });
    return this.#hasTriesLeft ? this.#refusal() : this.#tooMany();
  }

  accept(key: LoggedProof): AuthReply {
    this.#isIn = true;
    this.connection.factors.push(`${name} ${key.text}`);
    this.log.verbose(`Key of ${name} from ${this.connection.from} accepted: ${key.text}`);
    return authReply(authIs.handshake);
  }

  get #hasTriesLeft(): boolean {
    return this.#failures < Math.min(this.config.maxAuthTries, maxFailures);
  }

  #refusal(banner: Buffer = Buffer.alloc(0)): AuthReply {
    return authReply(authIs.refused, { banner, canContinue: ['publickey'] });
  }

  #tooMany(): AuthReply {
    const { from } = this.connection;
    this.log.error(
      `maximum authentication attempts exceeded for ${name} from ${from} ssh2 [preauth]`,
      { event: 'authentication.exceeded', isValidUser: this.isValid },
    );
    return this.#over('Too many authentication failures');
  }

  #over(peerText: string): AuthReply {
    this.#isOver = true;
    return authReply(authIs.disconnect, { reason: byApplication, peerText });
  }
}

/** A row that only a connection of the account `nx` may use. */
export function handshakeOf({ handshake }: Connection): Handshake {
  if (!(handshake instanceof Handshake)) {
    throw new MonitorRefusal(`a request of the account ${name} on another connection`);
  }
  return handshake;
}
