/**
 * The authentication of one connection: the user fixed by the first request, the leader that holds
 * the PAM handle, attempts, verdicts. Methods are rows in `requests/`; they come here for what they
 * share. An account that does not exist or may not log in goes the same way as any other and always
 * fails. Runs in: monitor.
 */
import { authenticationFailure, pamErrorText, triesExhausted } from '../../pam/pam-error.ts';
import type {
  Account,
  Authenticated,
  Established,
  LeaderClient,
  PamMessage,
} from '../../pam/leader-client.ts';
import { gssKeep } from '../../pam/leader-protocol.ts';
import { MonitorRefusal } from '../base/errors.ts';
import type { Log } from '../audit/log.ts';
import { loggedName } from '../audit/text.ts';
import type { ServerConfig } from '../policy/config.ts';
import type { KeyOptions } from '../../keys/authorized-keys.ts';
import { grantFor, withoutForwarding } from '../policy/grant.ts';
import type { Progress } from '../policy/authentication-methods.ts';
import type { MatchSubject } from '../policy/match.ts';
import { mayLogin, permitRootLogin, rootRefusalLine } from '../policy/access.ts';
import type { Connection, Login } from './connection.ts';
import { Factors } from './factors.ts';
import type { LoggedProof } from './offered-key.ts';
import { refusalLeavesAtMs } from './failure-delay.ts';
import { authIs } from './link.ts';
import { peerHost } from './peer-host.ts';
import type { PenaltyKind } from './source-penalties.ts';

export type AuthMethod =
  | 'publickey'
  | 'gssapi-with-mic'
  | 'password'
  | 'keyboard-interactive'
  | 'none';

/** The values of every authentication reply (`link.ts`). */
export interface AuthReply {
  readonly is: number;
  readonly canContinue: readonly string[];
  readonly banner: Buffer;
  readonly name: Buffer;
  readonly instruction: Buffer;
  readonly prompts: readonly { readonly text: Buffer; readonly echo: boolean }[];
  readonly reason: number;
  readonly peerText: string;
  readonly token: Buffer;
}

const nothing = Buffer.alloc(0);
export function authReply(is: number, more: Partial<AuthReply> = {}): AuthReply {
  return {
    is,
    canContinue: [],
    banner: nothing,
    name: nothing,
    instruction: nothing,
    prompts: [],
    reason: 0,
    peerText: '',
    token: nothing,
    ...more,
  };
}

/** What authentication needs of the daemon. */
export interface AuthenticationHost {
  readonly config: ServerConfig;
  /** With the Match blocks that apply to a connection once its user is known. */
  readonly configFor: (subject: MatchSubject) => ServerConfig;
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
function hostOf(
  host: Omit<AuthenticationHost, 'log'>,
  config: ServerConfig,
  log: Log,
): AuthenticationHost {
  return {
    config,
    configFor: host.configFor,
    log,
    isRootless: host.isRootless,
    startLeader: (connection) => host.startLeader(connection),
    authenticated: (connection, login) => host.authenticated(connection, login),
    cut: (connection) => host.cut(connection),
    nowMs: host.nowMs,
    sleepMs: host.sleepMs,
  };
}

const maxUserBytes = 256;
/** As in sshd, whatever MaxAuthTries says. */
const maxFailures = 1024;
/** Of keys that would do: a client asks and signs. Each may run AuthorizedKeysCommand. */
const maxAcceptableQueries = 16;
/** `shadowState` of leader-protocol.ts; with PAM it is the account stack's to say. */
const shadowLocked = 1;
const shadowExpired = 2;

const attemptEvents = {
  Failed: 'authentication.failed',
  Partial: 'authentication.partial',
  Postponed: 'authentication.postponed',
} as const;

export function textOf(messages: readonly PamMessage[]): Buffer {
  return Buffer.concat(messages.flatMap(({ text }) => [text, Buffer.from('\n')]));
}

/** A name that no account has is looked up in place of one that cannot be a name at all. */
function lookupName(claimed: Buffer): string | undefined {
  const text = claimed.toString('utf8');
  const isName =
    claimed.length > 0 &&
    claimed.length <= maxUserBytes &&
    Buffer.from(text).equals(claimed) &&
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
    !/[\u0000-\u001f\u007f/]/.test(text) &&
    text !== '.' &&
    text !== '..';
  return isName ? text : undefined;
}

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

/** Whoever put them there: a client that passed them on, or a module of PAM. */
function ticketsIn(environment: readonly Buffer[]): string {
  const name = 'KRB5CCNAME=';
  const entry = environment.find((one) => one.toString('latin1').startsWith(name));
  return entry?.subarray(name.length).toString('utf8') ?? '';
}

export class Authentication {
  readonly connection: Connection;
  readonly claimedUser: Buffer;
  readonly service: string;
  #host: AuthenticationHost;
  #factors: Factors;
  /** Set by `start`. */
  #leader: LeaderClient | undefined;
  #account: Account | undefined;
  #isValid = false;
  #failures = 0;
  #acceptableQueries = 0;
  /** Without PAM only a password that has let somebody in can be too old, as in sshd. */
  #hasUsedPassword = false;
  #isOver = false;
  #isEndTold = false;
  /** A module has counted to its own end (pam_unix: three): as in sshd, no password is asked any more. */
  #isPamTired = false;
  #wasAttempted = false;
  #isRefused = false;
  /** There is no such account. */
  #isNobody = false;
  #remoteHost: string;
  /** Once it has been run: not again at the next factor, as sshd. */
  #accountMessages: readonly PamMessage[] | undefined;
  #loggedUser: string;
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

  constructor(
    connection: Connection,
    claimedUser: Buffer,
    service: string,
    host: Omit<AuthenticationHost, 'log'>,
  ) {
    this.connection = connection;
    this.claimedUser = Buffer.from(claimedUser);
    this.#remoteHost = connection.endpoints.remoteAddress;
    this.service = service;
    this.#host = hostOf(host, host.config, connection.log);
    this.#loggedUser = loggedName(claimedUser);
    this.#factors = this.#beginFactors();
  }

  #beginFactors(): Factors {
    return new Factors(
      this.host.config.authenticationMethods,
      (method) => method === 'none' || this.#offered.some((one) => one === method),
    );
  }

  /** Its configuration is that of this connection, as soon as the account has been looked up. */
  get host(): AuthenticationHost {
    return this.#host;
  }
  get factors(): Factors {
    return this.#factors;
  }

  get leader(): LeaderClient {
    if (this.#leader === undefined) {
      throw new Error('the leader is asked for before it was started');
    }
    return this.#leader;
  }
  /** With UseDNS its name, if it has one; else the address. */
  get remoteHost(): string {
    return this.#remoteHost;
  }
  get account(): Account {
    if (this.#account === undefined) {
      throw new Error('the account is asked for before it was looked up');
    }
    return this.#account;
  }
  /** Exists and may log in as far as the configuration is concerned. */
  get isValid(): boolean {
    return this.#isValid;
  }
  /** The user in a log line: `U` or `invalid user U`. */
  get logged(): string {
    return this.#isValid ? this.#loggedUser : `invalid user ${this.#loggedUser}`;
  }
  /** The client was told to go (tries used up, account refused): a worker that goes on lies. */
  get isOver(): boolean {
    return this.#isOver;
  }
  get isEndTold(): boolean {
    return this.#isEndTold;
  }
  get loggedPlain(): string {
    return this.#loggedUser;
  }
  /** sshd judges by the same: a request of a method, `none` aside, is an attempt, however it ends. */
  get penalty(): PenaltyKind {
    if (this.#isRefused) {
      return 'refuseconnection';
    }
    if (this.#isNobody) {
      return 'invaliduser';
    }
    return this.#wasAttempted ? 'authfail' : 'noauth';
  }

  /** Starts the leader and looks the account up: the same steps for names nobody has. */
  async start(): Promise<void> {
    const { log, isRootless } = this.host;
    const { endpoints, from } = this.connection;
    const name = lookupName(this.claimedUser);
    this.#leader = await this.host.startLeader(this.connection);
    this.#remoteHost = await peerHost(this.#leader, endpoints.remoteAddress, this.host.config, log);
    const origin = {
      user: name ?? 'NOUSER',
      rhost: this.#remoteHost,
      tty: 'ssh',
      connection: `${endpoints.remoteAddress} ${endpoints.remotePort} ${endpoints.localAddress} ${endpoints.localPort}`,
    };
    const loggedAs = `${log.tag}[${this.connection.processNumber}]`;
    this.#account = await this.#leader.begin({ kind: 0, service: '', loggedAs, ...origin });
    const config = this.#applyMatch(name, this.#account);
    // A Match block may name the service, and groups are known only now. The same for everybody.
    const service = config.usePam && !isRootless ? config.pamServiceName : '';
    await this.#leader.beginPam({ service, ...origin });
    this.#isNobody = name === undefined || !this.#account.exists;
    // As sshd: a name that nobody has is one for itself, whatever is tried with it. For all others the
    // same is done but for the writing, and nobody waits for it.
    this.recordFailure(this.#isNobody).catch((error: unknown) =>
      log.debug(`btmp: ${String(error)}`),
    );
    if (this.#isNobody) {
      log.info(`Invalid user ${this.#loggedUser} from ${from}`, { event: 'user.invalid' });
      return;
    }
    // sshd has two lines for it: this one, and that the account is locked.
    const isExpired = this.#account.shadowState === shadowExpired && !config.usePam;
    if (isExpired) {
      log.info(`Account ${this.#loggedUser} has expired`, {
        event: 'user.refused',
        reason: 'expired',
      });
    }
    const verdict = mayLogin(config, {
      user: this.#account.user,
      groups: this.#account.groups,
      remoteAddress: endpoints.remoteAddress,
      remoteHost: this.#remoteHost,
      shell: this.#account.shell,
      shellState: this.#account.shellState,
      isLocked: isExpired || (this.#account.shadowState === shadowLocked && !config.usePam),
    });
    if (!verdict.allowed) {
      log.info(verdict.detail, { event: 'user.refused', reason: verdict.reason });
      return;
    }
    this.#isValid = true;
  }

  #applyMatch(name: string | undefined, account: Account): ServerConfig {
    const { endpoints } = this.connection;
    const config = this.#host.configFor({
      user: name ?? this.claimedUser.toString('utf8'),
      isInvalidUser: name === undefined || !account.exists,
      groups: account.groups,
      remoteHost: this.#remoteHost,
      remoteAddress: endpoints.remoteAddress,
      localAddress: endpoints.localAddress,
      localPort: endpoints.localPort,
      routingDomain: '',
    });
    if (config.logLevel !== this.#host.config.logLevel) {
      // A Match block's beats what -d and -q say, as in sshd.
      this.#host.log.changeLevel(config.logLevel);
    }
    if (config !== this.#host.config) {
      this.#host = hostOf(this.#host, config, this.#host.log);
      this.#factors = this.#beginFactors();
    }
    return config;
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
    return this.#failures === 0 && this.conversation === undefined && this.exchange === undefined;
  }

  get #offered(): readonly AuthMethod[] {
    const { config, isRootless } = this.host;
    const offered: AuthMethod[] = [];
    if (config.pubkeyAuthentication) {
      offered.push('publickey');
    }
    if (config.gssapiAuthentication && !isRootless) {
      offered.push('gssapi-with-mic');
    }
    if (config.passwordAuthentication && !isRootless && !this.#isPamTired) {
      offered.push('password');
    }
    const converses = config.kbdInteractiveAuthentication && config.usePam;
    if (converses && !isRootless && !this.#isPamTired) {
      offered.push('keyboard-interactive');
    }
    return offered;
  }

  #logAttempt(what: 'Failed' | 'Partial' | 'Postponed', method: string, key?: LoggedProof): void {
    if (method === 'publickey' && !this.#isValid) {
      return; // as sshd: that nobody has this name was told, and keys of nobody are not looked at
    }
    const tail = `${key === undefined ? '' : `: ${key.text}`}${what === 'Postponed' ? ' [preauth]' : ''}`;
    const line = `${what} ${method} for ${this.logged} from ${this.connection.from} ssh2${tail}`;
    this.host.log.at(method === 'password' ? 'INFO' : this.#attemptLevel, line, {
      event: attemptEvents[what],
      isValidUser: this.#isValid,
      method,
      ...key?.fields,
    });
  }

  /** The client has something more to send before it is decided. */
  postponed(method: string, reply: AuthReply): AuthReply {
    this.#logAttempt('Postponed', method);
    return reply;
  }

  /**
   * A failed attempt: counted, logged, and the last one ends the connection. `isTold` false: a line
   * of its own has said why, or the method was not even tried: sshd has no further one.
   */
  refuse(method: string, key?: LoggedProof, isTold = true): AuthReply {
    this.#failures++;
    if (isTold) {
      this.#logAttempt('Failed', method, key);
    }
    return this.hasTriesLeft
      ? authReply(authIs.refused, { canContinue: this.methods })
      : this.tooManyFailures();
  }

  /** False from the start with MaxAuthTries 0: nobody gets in. */
  get hasTriesLeft(): boolean {
    return this.#failures < Math.min(this.host.config.maxAuthTries, maxFailures);
  }

  tooManyFailures(): AuthReply {
    const { log } = this.host;
    this.#isEndTold = true;
    const { from } = this.connection;
    log.error(
      `maximum authentication attempts exceeded for ${this.logged} from ${from} ssh2 [preauth]`,
      { event: 'authentication.exceeded', isValidUser: this.#isValid },
    );
    const who = this.#isValid ? 'authenticating user' : 'invalid user';
    log.info(
      `Disconnecting ${who} ${this.#loggedUser} ${from}: Too many authentication failures [preauth]`,
      {
        event: 'connection.closed',
        isValidUser: this.#isValid,
        reason: 'Too many authentication failures',
      },
    );
    this.#isOver = true;
    return authReply(authIs.disconnect, {
      reason: 2,
      peerText: 'Too many authentication failures',
    });
  }

  /** False: so many keys that would do were asked about, and none has signed, that it is an attack. */
  get mayAskForKeys(): boolean {
    return this.#acceptableQueries < maxAcceptableQueries;
  }

  /** The key would do; nobody has signed with it. */
  acceptable(): AuthReply {
    this.#acceptableQueries++;
    return this.postponed('publickey', authReply(authIs.acceptable));
  }

  /** Attempts of nobody, and those of a user who has used up half of the tries, are told. */
  get #attemptLevel(): 'INFO' | 'VERBOSE' {
    const isLoud = !this.#isValid || this.#failures >= this.host.config.maxAuthTries / 2;
    return isLoud ? 'INFO' : 'VERBOSE';
  }

  /** The same refusal, at a time that tells nothing (see failure-delay.ts). */
  async refusePassword(
    startedMs: number,
    { delayUs, returnCode }: Pick<Authenticated, 'delayUs' | 'returnCode'>,
  ): Promise<AuthReply> {
    await this.recordFailure();
    await this.waitAsRefused(startedMs, delayUs);
    this.#isPamTired ||= returnCode === triesExhausted;
    return this.refuse('password');
  }

  /** Into btmp, for lastb(1), with the name as the client gave it: before the wait, which hides it. */
  async recordFailure(isWritten = true): Promise<void> {
    if (!this.host.isRootless) {
      await this.leader.recordFailure(this.claimedUser.subarray(0, maxUserBytes), isWritten);
    }
  }

  async waitAsRefused(startedMs: number, pamDelayUs: number): Promise<void> {
    const elapsedMs = this.host.nowMs() - startedMs;
    await this.host.sleepMs(refusalLeavesAtMs(elapsedMs, pamDelayUs / 1000) - elapsedMs);
  }

  /** False: whatever is answered, this user does not get in by this method. */
  mayPass(method: AuthMethod): boolean {
    const isRoot = this.account.exists && this.account.uid === 0;
    const isForced = this.factors.restrictions?.command !== undefined;
    return (
      this.#isValid && (!isRoot || permitRootLogin(this.host.config, method, isForced).allowed)
    );
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

  /**
   * Each factor is judged. The command that forced-commands-only wants may come with a later key: at
   * the end there has to be one.
   */
  #isRootAllowed(method: AuthMethod, options: KeyOptions | undefined, met: Progress): boolean {
    if (this.account.uid !== 0 || this.host.isRootless) {
      return true;
    }
    const mayFollow = met.is === 'partial' && method === 'publickey';
    return permitRootLogin(this.host.config, method, mayFollow || options?.command !== undefined)
      .allowed;
  }

  /** A conversation of an earlier factor has run the account step. */
  get isAccounted(): boolean {
    return this.#accountMessages !== undefined;
  }

  /** RefuseConnection: nothing is asked any more, of nobody whom it is said for. */
  turnAway(): AuthReply {
    this.host.log.info(
      `administratively prohibited connection for ${this.logged} from ${this.connection.from}`,
    );
    this.#isRefused = true;
    this.#isOver = true;
    return authReply(authIs.disconnect, {
      reason: 2,
      peerText: 'connection refused by the configuration',
    });
  }

  /** AuthenticationMethods leaves nothing that could be done here. */
  impossible(): AuthReply {
    const { log } = this.host;
    for (const { chain, method } of this.factors.dropped) {
      log.error(`Disabled method "${method}" in AuthenticationMethods list "${chain}" [preauth]`);
      log.info(
        `Authentication methods list "${chain}" contains disabled method, skipping [preauth]`,
      );
    }
    log.error('No AuthenticationMethods left after eliminating disabled methods [preauth]');
    this.#isOver = true;
    return authReply(authIs.disconnect, {
      reason: 2,
      peerText: 'no authentication methods enabled',
    });
  }

  /** The tickets come first: what PAM opens for the session may want them. */
  async #establish(config: ServerConfig, root: string): Promise<Established> {
    if (!this.hasTickets || !config.gssapiDelegateCredentials) {
      return this.leader.establish('ssh', this.factors.met, root);
    }
    const { verdict, text } = await this.leader.gssKeepTickets(config.gssapiCleanupCredentials);
    const isKept = verdict === gssKeep.kept;
    if (!isKept && text !== '') {
      this.host.log.error(`tickets of ${this.#loggedUser} are not kept: ${text}`);
    }
    const established = await this.leader.establish('ssh', this.factors.met, root);
    const name = Buffer.from(`KRB5CCNAME=${text}`);
    const isKnown = established.environment.some((entry) => entry.equals(name));
    return isKept && !isKnown
      ? { ...established, environment: [...established.environment, name] }
      : established;
  }

  /** In a conversation nobody was told why: sshd's line, which fail2ban counts. */
  tellPamError(returnCode: number): void {
    const { remoteAddress } = this.connection.endpoints;
    const who = this.#isValid ? this.#loggedUser : `illegal user ${this.#loggedUser}`;
    // sshd converses in a process of its own each time, where no module's count reaches its end.
    const isPlain = returnCode === 0 || returnCode === triesExhausted;
    const code = isPlain ? authenticationFailure : returnCode;
    this.host.log.error(`PAM: ${pamErrorText(code)} for ${who} from ${remoteAddress}`);
  }

  /** Ends the connection; the user reads PAM's own words in a banner, and a line of ours. */
  deny(method: string, key: LoggedProof | undefined, messages: readonly PamMessage[]): AuthReply {
    this.#logAttempt('Failed', method, key);
    this.#isEndTold = true;
    this.host.log.fatal(
      `Access denied for user ${this.#loggedUser} by PAM account configuration [preauth]`,
      { event: 'authentication.denied' },
    );
    this.#isOver = true;
    return authReply(authIs.disconnect, {
      banner: textOf(messages),
      reason: 2,
      peerText: 'Access denied by the account configuration',
    });
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
    const { config, log } = this.host;
    const { connection } = this;
    const { from } = connection;
    const fullMethod = submethod === '' ? method : `${method}/${submethod}`;
    const joined = this.factors.with(key);
    if (!joined.ok) {
      log.error(`Inconsistent authentication options: ${joined.reason}`);
      return this.refuse(fullMethod, logged);
    }
    const met = this.factors.outcome(method, submethod);
    if (!this.#isRootAllowed(method, joined.options, met)) {
      log.info(rootRefusalLine(from));
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
      this.#logAttempt('Partial', fullMethod, logged);
      return authReply(authIs.partial, { canContinue: this.methods });
    }
    let messages = this.#accountMessages ?? [];
    let mustChangePassword = false;
    if (this.#accountMessages === undefined) {
      // As sshd: of the factors before this one.
      const account = await this.leader.account(metBefore);
      if (account.userChanged || (account.returnCode !== 0 && !account.newPasswordRequired)) {
        return this.deny(fullMethod, logged, account.messages);
      }
      mustChangePassword = account.newPasswordRequired && (config.usePam || this.#hasUsedPassword);
      messages = account.messages;
    }
    const granted = grantFor(config, joined.options, this.account);
    const grant = mustChangePassword ? withoutForwarding(granted) : granted;
    log.info(
      `Accepted ${fullMethod} for ${this.#loggedUser} from ${from} ssh2${logged === undefined ? '' : `: ${logged.text}`}`,
      { event: 'authentication.accepted', method: fullMethod, ...logged?.fields },
    );
    const login: Login = {
      user: this.account.user,
      account: this.account,
      leader: this.leader,
      grant,
      config,
      mustChangePassword,
      messages: textOf(messages),
      authInfo: this.factors.met,
      authInfoFile: undefined,
      established: this.#establish(config, grant.chrootDirectory ?? ''),
      hasNoSession: false,
      tickets: '',
    };
    login.established.then(
      ({ setcredCode, sessionCode, sessionText, rootRefusal, environment }) => {
        login.tickets = ticketsIn(environment);
        if (setcredCode !== 0) {
          log.error(`PAM: pam_setcred(): code ${setcredCode} for ${this.#loggedUser}`);
        }
        if (sessionCode !== 0) {
          login.hasNoSession = true;
          log.error(`PAM: pam_open_session(): ${sessionText}`);
        }
        if (rootRefusal !== '') {
          login.hasNoSession = true;
          log.fatal(rootRefusal);
          this.host.cut(connection);
        } else if (grant.chrootDirectory !== undefined) {
          log.verbose(`Changed root directory to "${grant.chrootDirectory}"`);
        }
      },
      // Sessions that wait for it fail with it; a connection that ends first has no use for it.
      (error: unknown) => log.debug(`establish: ${String(error)}`),
    );
    this.host.authenticated(connection, login);
    return authReply(authIs.accepted);
  }
}

/** What it was met with: a key, a certificate, a ticket. */
function factorText(method: string, logged: LoggedProof | undefined): string {
  const { key, certificateId, principal } = logged?.fields ?? {};
  const parts = [
    method,
    ...(key === undefined ? [] : [key]),
    ...(certificateId === undefined ? [] : [`certificate ${certificateId}`]),
    ...(principal === undefined ? [] : [principal]),
  ];
  return parts.join(' ');
}
