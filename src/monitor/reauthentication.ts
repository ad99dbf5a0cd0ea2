/**
 * A login is asked again who it is (DesktopReauth): PAM's auth and account stacks on a handle of their
 * own, in a leader of their own, for the account and from the place that the login has fixed. The
 * leader ends with the conversation. Runs in: monitor.
 */
import { leaderEndMs, longestTimerMs } from '../base/limits.ts';
import { MonitorRefusal } from '../base/errors.ts';
import type { Authenticated, LeaderClient } from '../../pam/leader-client.ts';
import { authenticationFailure, pamErrorText } from '../../pam/pam-error.ts';
import { loggedName } from '../audit/text.ts';
import { CallFailure, LinkEnded } from '../ssh/wire/peer.ts';
import { maxFailures } from './attempts.ts';
import type { Connection, Login } from './connection.ts';
import { Conversation, type Prompts, promptsOf, textOf, type Turn } from './conversation.ts';
import { waitAsRefused } from './failure-delay.ts';
import { loginOf } from './login.ts';
import { accountStep } from './login-establishment.ts';

export interface ReauthenticationHost {
  startLeader(): Promise<LeaderClient>;
  killLeader(pid: number): void;
  readonly nowMs: () => number;
  readonly sleepMs: (ms: number) => Promise<void>;
}

export type Reauthenticated =
  | { readonly is: 'prompt'; readonly prompts: Prompts }
  /** `told`: PAM's words, for the user to read. */
  | { readonly is: 'accepted' | 'refused'; readonly told: Buffer };

/** Where LoginGraceTime has no limit, a person has. */
const longestMs = 15 * 60_000;
const loginKind = 0;
const disconnectByProtocol = 2;
const nothing = Buffer.alloc(0);

/** A refusal before PAM has one, in words for the log. */
class Refused extends Error {
  override readonly name = 'Refused';
}

/** One conversation, from the first prompt to the verdict. */
class Asking {
  readonly connection: Connection;
  readonly login: Login;
  /** The id of the desktop. */
  readonly desktop: string;
  readonly #host: ReauthenticationHost;
  readonly #timer: NodeJS.Timeout;
  #leader: LeaderClient | undefined;
  #conversation: Conversation<Authenticated> | undefined;
  /** Of the present turn: a person's time to think is no part of what a refusal must hide. */
  #startedMs: number;
  #isOver = false;
  #isTold = false;

  constructor(host: ReauthenticationHost, connection: Connection, desktop: string) {
    this.#host = host;
    this.connection = connection;
    this.login = loginOf(connection);
    this.desktop = desktop;
    this.#startedMs = host.nowMs();
    const { loginGraceTimeMs } = this.login.config;
    const limitMs = Math.min(loginGraceTimeMs || longestMs, longestTimerMs);
    this.#timer = setTimeout(() => this.giveUp('the time for it is over'), limitMs);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Nobody waits for it any more. It may hang in a module that waits for its network: it is killed. */
  giveUp(why: string): void {
    if (!this.#isOver) {
      this.#tellFailed(why);
      this.#settle();
      if (this.#leader !== undefined) {
        this.#host.killLeader(this.#leader.pid);
        this.#leader.drop();
      }
    }
  }

  #settle(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  /** There is a verdict; PAM has its handle closed, if it does not take too long. */
  #finish(): void {
    const leader = this.#leader;
    if (!this.#isOver) {
      this.#settle();
      leader
        ?.end(0, leaderEndMs)
        .catch(() => this.#host.killLeader(leader.pid))
        .finally(() => leader.drop());
    }
  }

  async begin(): Promise<Reauthenticated> {
    return this.#judged(async () => {
      const leader = await this.#startLeader();
      this.#conversation = new Conversation<Authenticated>(leader, () =>
        leader.authenticate({
          mode: 0,
          password: nothing,
          allowEmpty: this.login.config.permitEmptyPasswords,
          refused: false,
        }),
      );
      return this.#conversation.next();
    });
  }

  async answer(answers: readonly Buffer[]): Promise<Reauthenticated> {
    this.#startedMs = this.#host.nowMs();
    return this.#judged(async () => {
      const conversation = this.#conversation;
      if (this.#isOver || conversation === undefined) {
        answers.forEach((answer) => answer.fill(0));
        throw new Refused('over');
      }
      conversation.answer(answers);
      return conversation.next();
    });
  }

  async #startLeader(): Promise<LeaderClient> {
    const { account, config, remoteHost } = this.login;
    const { endpoints, log, processNumber } = this.connection;
    const leader = await this.#host.startLeader();
    if (this.#isOver) {
      leader.drop();
      throw new Refused('over');
    }
    this.#leader = leader;
    const found = await leader.begin({
      kind: loginKind,
      user: account.user,
      service: config.pamServiceName,
      rhost: remoteHost,
      tty: 'ssh',
      connection: `${endpoints.remoteAddress} ${endpoints.remotePort} ${endpoints.localAddress} ${endpoints.localPort}`,
      loggedAs: `${log.tag}[${processNumber}]`,
    });
    if (!found.exists || found.uid !== account.uid) {
      throw new Refused('the account is not the one that has logged in');
    }
    return leader;
  }

  /** A module may take its leader with it, or change its mind about who it is: nothing opens then. */
  async #judged(turn: () => Promise<Turn<Authenticated>>): Promise<Reauthenticated> {
    try {
      const next = await turn();
      if (next.is === 'prompts') {
        return { is: 'prompt', prompts: promptsOf(next.messages) };
      }
      return await this.#verdict(next.result);
    } catch (error) {
      if (error instanceof LinkEnded || error instanceof CallFailure || error instanceof Refused) {
        return await this.#refused(error.message, nothing, 0);
      }
      this.giveUp('internal error');
      throw error;
    }
  }

  async #verdict(result: Authenticated): Promise<Reauthenticated> {
    const { returnCode, messages, delayUs, userChanged } = result;
    if (returnCode !== 0 || userChanged) {
      const code = returnCode === 0 ? authenticationFailure : returnCode;
      const why = userChanged ? 'PAM names another user' : `PAM: ${pamErrorText(code)}`;
      return this.#refused(why, textOf(messages), delayUs);
    }
    const leader = this.#leader as LeaderClient;
    const account = await accountStep(leader, this.login.authInfo);
    const told = textOf([...messages, ...account.messages]);
    if (account.isDenied || account.newPasswordRequired) {
      const why = account.isDenied ? 'PAM: the account' : 'PAM: the password has expired';
      return this.#refused(why, told, 0);
    }
    this.#finish();
    this.connection.failedReauthentications = 0;
    this.connection.log.info(`Reauthenticated ${this.#who}`, {
      event: 'reauthentication.accepted',
      desktop: this.desktop,
    });
    return { is: 'accepted', told };
  }

  get #who(): string {
    const { from } = this.connection;
    return `${loggedName(Buffer.from(this.login.user))} from ${from} ssh2: desktop ${this.desktop}`;
  }

  /** Once: who was given up has been told of already. */
  #tellFailed(why: string): void {
    if (!this.#isTold) {
      this.#isTold = true;
      this.connection.log.info(`Failed reauthentication for ${this.#who}: ${why}`, {
        event: 'reauthentication.failed',
        desktop: this.desktop,
        reason: why,
      });
    }
  }

  async #refused(why: string, told: Buffer, delayUs: number): Promise<Reauthenticated> {
    this.#tellFailed(why);
    if (this.#isOver) {
      return { is: 'refused', told }; // given up, which hides nothing
    }
    if (this.#leader !== undefined) {
      try {
        await this.#leader.recordFailure(Buffer.from(this.login.user), true);
      } catch (error) {
        // Its module has taken it along.
        this.connection.log.debug(`btmp: ${String(error)}`);
      }
    }
    this.#finish();
    await waitAsRefused(this.#host, this.#startedMs, delayUs);
    return { is: 'refused', told };
  }
}

/** Those of all logins, one at a time for each. */
export class Reauthentications {
  readonly #host: ReauthenticationHost;
  readonly #asking = new Map<object, Asking>();
  /** One turn of a conversation is being taken. */
  readonly #busy = new Set<Connection>();

  constructor(host: ReauthenticationHost) {
    this.#host = host;
  }

  /** Undefined: another one of this login is under way. */
  async begin(connection: Connection, desktop: string): Promise<Reauthenticated | undefined> {
    if (this.#busy.has(connection) || this.#asking.get(connection)?.isOver === false) {
      return undefined;
    }
    if (!hasTriesLeft(connection)) {
      throw new MonitorRefusal('a reauthentication after the last one');
    }
    // Until it is accepted it has failed: who leaves it has learnt what it asks, and rung a telephone.
    connection.failedReauthentications++;
    const asking = new Asking(this.#host, connection, desktop);
    this.#asking.set(connection, asking);
    return this.#turn(asking, () => asking.begin());
  }

  /** The desktop that it is about, with the outcome. */
  async answer(
    connection: Connection,
    answers: readonly Buffer[],
  ): Promise<{ readonly desktop: string; readonly outcome: Reauthenticated }> {
    const asking = this.#asking.get(connection);
    if (asking === undefined || this.#busy.has(connection)) {
      answers.forEach((answer) => answer.fill(0));
      throw new MonitorRefusal('answers where nothing was asked');
    }
    const outcome = await this.#turn(asking, () => asking.answer(answers));
    return { desktop: asking.desktop, outcome };
  }

  async #turn(asking: Asking, take: () => Promise<Reauthenticated>): Promise<Reauthenticated> {
    const { connection } = asking;
    this.#busy.add(connection);
    try {
      const outcome = await take();
      if (outcome.is !== 'prompt') {
        this.#asking.delete(connection);
      }
      if (outcome.is === 'refused' && !hasTriesLeft(connection)) {
        endFor(connection);
      }
      return outcome;
    } finally {
      this.#busy.delete(connection);
    }
  }

  connectionEnded(connection: object): void {
    this.#asking.get(connection)?.giveUp('the connection has ended');
    this.#asking.delete(connection);
  }
}

function hasTriesLeft(connection: Connection): boolean {
  const { maxAuthTries } = loginOf(connection).config;
  return connection.failedReauthentications < Math.min(maxAuthTries, maxFailures);
}

/** MaxAuthTries: behind the answer, which the user reads first. */
function endFor(connection: Connection): void {
  if (connection.closed) {
    return;
  }
  const user = loggedName(Buffer.from(loginOf(connection).user));
  connection.log.error(
    `maximum authentication attempts exceeded for ${user} from ${connection.from} ssh2`,
    { event: 'authentication.exceeded', isValidUser: true },
  );
  setImmediate(() =>
    connection.worker.closeConnection(
      connection.number,
      disconnectByProtocol,
      'Too many authentication failures',
    ),
  );
}
