/**
 * The authentication of one connection: what its candidate has tried, what is on its way, which
 * factors are met, and whether it is over. Methods are rows in `requests/`; they come here for what
 * they share. An account that does not exist or may not log in goes the same way as any other and
 * always fails. Runs in: monitor.
 */
import { triesExhausted } from '../../pam/pam-error.ts';
import type { Authenticated, PamMessage } from '../../pam/leader-client.ts';
import { MonitorRefusal } from '../base/errors.ts';
import type { KeyOptions } from '../../keys/authorized-keys.ts';
import { grantFor, withoutForwarding } from '../policy/grant.ts';
import type { Progress } from '../policy/authentication-methods.ts';
import { permitRootLogin, rootRefusalLine } from '../policy/access.ts';
import { Attempts } from './attempts.ts';
import { type AuthReply, authReply } from './auth-reply.ts';
import {
  accountDenied,
  noMethodsEnabled,
  prohibited,
  tooManyFailures,
} from './authentication-disconnect.ts';
import { type Candidate, recordFailure } from './candidate.ts';
import type { Connection, OngoingAuthentication } from './connection.ts';
import { Factors, factorText } from './factors.ts';
import { waitAsRefused } from './failure-delay.ts';
import { authIs } from './link.ts';
import { accountStep, establishLogin } from './login-establishment.ts';
import type { LoggedProof } from './offered-key.ts';
import { type AuthMethod, offeredMethods } from './offered-methods.ts';
import type { PenaltyKind } from './source-penalties.ts';

/** A row that needs the user is only reached after `userauth-begin`; a worker that skips it lies. */
export function authenticationOf(connection: Connection): Authentication {
  const { authentication } = connection;
  if (!(authentication instanceof Authentication)) {
    throw new MonitorRefusal('an attempt before userauth-begin');
  }
  if (authentication.isOver) {
    throw new MonitorRefusal('an attempt after the last one');
  }
  return authentication;
}

export class Authentication implements OngoingAuthentication {
  readonly candidate: Candidate;
  readonly service: string;
  readonly attempts: Attempts;
  readonly factors: Factors;
  /** Without PAM only a password that has let somebody in can be too old, as in sshd. */
  #hasUsedPassword = false;
  #isOver = false;
  #isEndTold = false;
  /** A module has counted to its own end (pam_unix: three): as in sshd, no password is asked any more. */
  #isPamTired = false;
  #wasAttempted = false;
  #isRefused = false;
  /** Once it has been run: not again at the next factor, as sshd. */
  #accountMessages: readonly PamMessage[] | undefined;
  /** A conversation that waits for answers of the client. */
  conversation:
    | {
        readonly resume: (answers: readonly Buffer[]) => Promise<AuthReply>;
        readonly abort: () => Promise<void>;
      }
    | undefined;
  /** Tokens of GSSAPI that are on their way. */
  exchange: { readonly method: string; readonly isComplete: boolean } | undefined;
  /** The leader may hold some that the client passed on. */
  hasTickets = false;

  constructor(candidate: Candidate, service: string) {
    this.candidate = candidate;
    this.service = service;
    this.attempts = new Attempts(candidate);
    this.factors = new Factors(
      candidate.host.config.authenticationMethods,
      (method) => method === 'none' || this.#offered.some((one) => one === method),
    );
  }

  get isValid(): boolean {
    return this.candidate.isValid;
  }
  get loggedPlain(): string {
    return this.candidate.loggedPlain;
  }
  /** The client was told to go (tries used up, account refused): a worker that goes on lies. */
  get isOver(): boolean {
    return this.#isOver;
  }
  get isEndTold(): boolean {
    return this.#isEndTold;
  }
  /** sshd judges by the same: a request of a method, `none` aside, is an attempt, however it ends. */
  get penalty(): PenaltyKind {
    if (this.#isRefused) {
      return 'refuseconnection';
    }
    if (this.candidate.isNobody) {
      return 'invaliduser';
    }
    return this.#wasAttempted ? 'authfail' : 'noauth';
  }

  get #offered(): readonly AuthMethod[] {
    return offeredMethods(this.candidate.host, this.#isPamTired);
  }

  /** What may come next of the methods that are offered, in sshd's order. */
  get methods(): readonly AuthMethod[] {
    return this.#offered.filter((method) => this.factors.mayComeNext(method));
  }

  offers(method: AuthMethod): boolean {
    return this.#offered.includes(method);
  }
  /** Nothing has been tried yet. */
  get isFresh(): boolean {
    return (
      !this.attempts.hasFailures && this.conversation === undefined && this.exchange === undefined
    );
  }
  /** A conversation of an earlier factor has run the account step. */
  get isAccounted(): boolean {
    return this.#accountMessages !== undefined;
  }

  /**
   * A request of some method. A conversation that the client has left for it is a failed attempt like
   * any other; if that was the last one, what is returned is the answer to the request, which is not
   * looked at any more.
   */
  async beginAttempt(): Promise<AuthReply | undefined> {
    this.#wasAttempted = true;
    const { conversation, exchange } = this;
    if (conversation === undefined && exchange === undefined) {
      return undefined;
    }
    this.conversation = undefined;
    this.exchange = undefined;
    await conversation?.abort();
    const reply = this.refuse(exchange?.method ?? 'keyboard-interactive/pam');
    return this.#isOver ? reply : undefined;
  }

  /** The client has something more to send before it is decided. */
  postponed(method: string, reply: AuthReply): AuthReply {
    this.attempts.tell('Postponed', method);
    return reply;
  }

  /** The key would do; nobody has signed with it. */
  acceptable(): AuthReply {
    this.attempts.countAcceptableQuery();
    return this.postponed('publickey', authReply(authIs.acceptable));
  }

  /**
   * A failed attempt: counted, logged, and the last one ends the connection. `isTold` false: a line
   * of its own has said why, or the method was not even tried: sshd has no further one.
   */
  refuse(method: string, key?: LoggedProof, isTold = true): AuthReply {
    this.attempts.countFailure(method, key, isTold);
    return this.attempts.hasTriesLeft
      ? authReply(authIs.refused, { canContinue: this.methods })
      : this.tooManyFailures();
  }

  /** The same refusal, at a time that tells nothing (see failure-delay.ts). */
  async refusePassword(
    startedMs: number,
    { delayUs, returnCode }: Pick<Authenticated, 'delayUs' | 'returnCode'>,
  ): Promise<AuthReply> {
    await recordFailure(this.candidate);
    await waitAsRefused(this.candidate.host, startedMs, delayUs);
    this.#isPamTired ||= returnCode === triesExhausted;
    return this.refuse('password');
  }

  tooManyFailures(): AuthReply {
    this.#isEndTold = true;
    this.#isOver = true;
    return tooManyFailures(this.candidate);
  }

  /** RefuseConnection: nothing is asked any more, of nobody whom it is said for. */
  turnAway(): AuthReply {
    this.#isRefused = true;
    this.#isOver = true;
    return prohibited(this.candidate);
  }

  /** AuthenticationMethods leaves nothing that could be done here. */
  impossible(): AuthReply {
    this.#isOver = true;
    return noMethodsEnabled(this.candidate, this.factors);
  }

  /** PAM's account stack lets nobody in, whatever was proved. */
  deny(method: string, key: LoggedProof | undefined, messages: readonly PamMessage[]): AuthReply {
    this.attempts.tell('Failed', method, key);
    this.#isEndTold = true;
    this.#isOver = true;
    return accountDenied(this.candidate, messages);
  }

  /** False: whatever is answered, this user does not get in by this method. */
  mayPass(method: AuthMethod): boolean {
    const { account, host, isValid } = this.candidate;
    const isRoot = account.exists && account.uid === 0;
    const isForced = this.factors.restrictions?.command !== undefined;
    return isValid && (!isRoot || permitRootLogin(host.config, method, isForced).allowed);
  }

  /**
   * Each factor is judged. The command that forced-commands-only wants may come with a later key: at
   * the end there has to be one.
   */
  #isRootAllowed(method: AuthMethod, options: KeyOptions | undefined, met: Progress): boolean {
    const { account, host } = this.candidate;
    if (account.uid !== 0 || host.isRootless) {
      return true;
    }
    const mayFollow = met.is === 'partial' && method === 'publickey';
    return permitRootLogin(host.config, method, mayFollow || options?.command !== undefined)
      .allowed;
  }

  /**
   * A method has succeeded: root's permission, what the other factors say, and after the last one
   * PAM account and grant. `accounted`: the conversation has already run the account step (and a
   * password change) itself. `proof`: the key, as a line of authorized_keys has it.
   */
  async accept(
    method: AuthMethod,
    submethod: string,
    logged: LoggedProof | undefined,
    key: KeyOptions | undefined,
    accounted?: { readonly messages: readonly PamMessage[] },
    proof = '',
  ): Promise<AuthReply> {
    const { connection, host, account, leader } = this.candidate;
    const { config, log } = host;
    const fullMethod = submethod === '' ? method : `${method}/${submethod}`;
    const joined = this.factors.with(key);
    if (!joined.ok) {
      log.error(`Inconsistent authentication options: ${joined.reason}`);
      return this.refuse(fullMethod, logged);
    }
    const met = this.factors.outcome(method, submethod);
    if (!this.#isRootAllowed(method, joined.options, met)) {
      log.info(rootRefusalLine(connection.from));
      return this.refuse(fullMethod, logged);
    }
    if (met.is === 'unwanted') {
      log.error(`no list of AuthenticationMethods goes on with ${fullMethod}`);
      return this.refuse(fullMethod, logged);
    }
    this.#accountMessages ??= accounted?.messages;
    this.#hasUsedPassword ||= method === 'password' || method === 'none';
    const metBefore = this.factors.met;
    this.factors.take(met, joined.options, proof === '' ? fullMethod : `${fullMethod} ${proof}`);
    connection.factors.push(factorText(fullMethod, logged));
    if (met.is === 'partial') {
      this.attempts.tell('Partial', fullMethod, logged);
      return authReply(authIs.partial, { canContinue: this.methods });
    }
    let messages = this.#accountMessages ?? [];
    let mustChangePassword = false;
    if (this.#accountMessages === undefined) {
      // As sshd: of the factors before this one.
      const step = await accountStep(leader, metBefore);
      if (step.isDenied) {
        return this.deny(fullMethod, logged, step.messages);
      }
      mustChangePassword = step.newPasswordRequired && (config.usePam || this.#hasUsedPassword);
      messages = step.messages;
    }
    const granted = grantFor(config, joined.options, account);
    this.attempts.tellAccepted(fullMethod, logged);
    const login = establishLogin(this.candidate, {
      grant: mustChangePassword || connection.handshake ? withoutForwarding(granted) : granted,
      mustChangePassword,
      messages,
      authInfo: this.factors.met,
      hasTickets: this.hasTickets,
    });
    host.authenticated(connection, login);
    return authReply(authIs.accepted);
  }
}
