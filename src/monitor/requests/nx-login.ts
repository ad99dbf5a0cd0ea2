/**
 * `nx-login`: the one request of a connection of the account `nx`. The user of its dialogue is judged as
 * a `password` login from the same address would be, and gets his desktops and nothing else. Every
 * refusal is the same answer after the same time. Runs in: monitor.
 */
import { Authentication } from '../authentication.ts';
import type { AuthenticationHost } from '../authentication-host.ts';
import { type Candidate, lookUpCandidate, recordFailure } from '../candidate.ts';
import type { Connection, Login } from '../connection.ts';
import { waitAsRefused } from '../failure-delay.ts';
import { nologinText } from '../greeting.ts';
import { handshakeOf, handshakeUser } from '../handshake.ts';
import { authIs, NxLogin } from '../link.ts';
import { accountStep } from '../login-establishment.ts';
import { converse } from '../nx-conversation.ts';
import type { NxDatabase } from '../nx-database.ts';
import type { NxPasswords } from '../nx-password.ts';
import type { DesktopConfig } from '../../policy/config.ts';
import type { PamMessage } from '../../../pam/leader-client.ts';
import { MonitorRefusal } from '../../base/errors.ts';
import { type AnyRow, row } from '../request-table.ts';

export interface NxLoginPlace {
  readonly config: DesktopConfig;
  readonly configFor: (owner: {
    readonly user: string;
    readonly groups: readonly string[];
  }) => DesktopConfig;
  readonly passwords: NxPasswords;
  /** undefined: there is none. Throws when it cannot be read. */
  openDatabase(): NxDatabase | undefined;
}

/** A refusal takes a second at least. */
const leastDelayUs = 1_000_000;

export function nxLogin(host: Omit<AuthenticationHost, 'log'>, place: NxLoginPlace): AnyRow {
  return row({
    schema: NxLogin,
    phase: ['preauth'],
    once: true,
    decides: true,
    serial: true,
    async handle(connection, { user, password }) {
      try {
        const session = await logIn(connection, user, password, host, place);
        return {
          values: {
            accepted: session !== undefined,
            session: session ?? 0,
            user: session === undefined ? '' : (connection.login as Login).user,
          },
        };
      } finally {
        password.fill(0);
      }
    },
  });
}

/** The session that may ask for desktops; undefined: no. */
async function logIn(
  connection: Connection,
  user: Buffer,
  password: Buffer,
  host: Omit<AuthenticationHost, 'log'>,
  place: NxLoginPlace,
): Promise<number | undefined> {
  if (!handshakeOf(connection).isIn) {
    throw new MonitorRefusal('nx-login in front of the key');
  }
  const startedMs = host.nowMs();
  const candidate = await lookUpCandidate(connection, user, host);
  const authentication = new Authentication(candidate, 'ssh-connection');
  connection.authentication = authentication;
  await authentication.beginAttempt();
  const { isRight, delayUs } = await verify(authentication, password, place);
  const messages = isRight ? await accounted(candidate) : undefined;
  const reply =
    messages === undefined
      ? authentication.refuse('password')
      : await authentication.accept('password', '', undefined, undefined, { messages });
  if (reply.is !== authIs.accepted) {
    await recordFailure(candidate);
    // A right password that opens nothing must not be known by its sooner answer.
    const waitedUs = isRight ? await delayOfWrong(candidate) : delayUs;
    await waitAsRefused(candidate.host, startedMs, Math.max(waitedUs, leastDelayUs));
    return undefined;
  }
  return openSession(connection);
}

async function delayOfWrong({ leader }: Candidate): Promise<number> {
  const junk = { mode: 1, password: Buffer.from('x'), allowEmpty: false, refused: true };
  return (await leader.authenticate(junk)).delayUs;
}

/** Why no password opens this; empty: told already. undefined: one may. */
function objection(authentication: Authentication, place: NxLoginPlace): string | undefined {
  const { account, host, isValid, claimedUser } = authentication.candidate;
  const { config } = host;
  if (!isValid) {
    return '';
  }
  if (claimedUser.equals(handshakeUser)) {
    return 'the account of the handshake is nobody';
  }
  if (config.refuseConnection) {
    return 'RefuseConnection';
  }
  if (!authentication.attempts.hasTriesLeft) {
    return 'MaxAuthTries leaves no attempt';
  }
  if (!authentication.offers('password')) {
    return 'PasswordAuthentication is off';
  }
  if (authentication.factors.outcome('password', '').is !== 'complete') {
    return 'AuthenticationMethods asks for more, or for something else, than one password';
  }
  if (!authentication.mayPass('password')) {
    return `PermitRootLogin ${config.permitRootLogin} does not allow password`;
  }
  return !place.config.nxUsersDatabase || isListed(account.user, place)
    ? undefined
    : 'not in the users database (sshdesk nxserver --useradd)';
}

function isListed(user: string, { openDatabase }: NxLoginPlace): boolean {
  using database = openDatabase();
  return database?.isListed(user) ?? false;
}

interface Verdict {
  readonly isRight: boolean;
  readonly delayUs: number;
}

async function verify(
  authentication: Authentication,
  password: Buffer,
  place: NxLoginPlace,
): Promise<Verdict> {
  const { account, host, leader, loggedPlain } = authentication.candidate;
  const { config, log } = host;
  const why = objection(authentication, place);
  if (why !== undefined && why !== '') {
    log.info(`nx: ${loggedPlain} may not log in: ${why}`);
  }
  const isByDatabase = place.config.nxPasswordUsers.includes(account.user);
  if (isByDatabase && (await isInDatabase(account.user, password, place)) && why === undefined) {
    return { isRight: true, delayUs: 0 };
  }
  // What a database has refused takes as long as what PAM refuses, and counts there as well.
  const refused = why !== undefined || isByDatabase;
  const allowEmpty = config.permitEmptyPasswords;
  const { user, groups } = account;
  const split = place.configFor({ user, groups }).nxPasswordSplit;
  const { returnCode, userChanged, delayUs, isShort } = config.usePam
    ? await converse(leader, password, { split, allowEmpty, refused })
    : {
        ...(await leader.authenticate({ mode: 1, password, allowEmpty, refused })),
        isShort: false,
      };
  if (isShort && !refused) {
    log.info(
      `nx: ${loggedPlain} may not log in: PAM asks for more than the password line answers (NXPasswordSplit)`,
    );
  }
  const isRight = !refused && !isShort && returnCode === 0 && !userChanged;
  return { isRight, delayUs };
}

async function isInDatabase(
  user: string,
  password: Buffer,
  { passwords, openDatabase }: NxLoginPlace,
): Promise<boolean> {
  const stored = passwordOf(user, openDatabase);
  const isRight = await passwords.verify(password, stored);
  if (isRight && stored !== undefined && passwords.isOutdated(stored)) {
    const renewed = await passwords.hash(password);
    using database = openDatabase();
    database?.renewPassword(user, stored, renewed);
  }
  return isRight;
}

function passwordOf(user: string, openDatabase: NxLoginPlace['openDatabase']): string | undefined {
  using database = openDatabase();
  return database?.passwordOf(user);
}

/** What PAM's account stack has to say; undefined: it lets nobody in, or wants another password first. */
async function accounted({ leader, host, loggedPlain }: Candidate) {
  const step: { isDenied: boolean; newPasswordRequired: boolean; messages: readonly PamMessage[] } =
    await accountStep(leader, '');
  if (step.isDenied) {
    host.log.error(`nx: access denied for ${loggedPlain} by PAM account configuration`);
    return undefined;
  }
  if (step.newPasswordRequired) {
    host.log.info(`nx: ${loggedPlain} may not log in: the password has to be changed first`);
    return undefined;
  }
  return step.messages;
}

/** What is asked for desktops by; its PAM session stands by then. */
async function openSession(connection: Connection): Promise<number> {
  const login = connection.login as Login;
  await login.established;
  if ((await nologinText(login, connection.log)) !== undefined) {
    login.hasNoSession = true;
  }
  const session = connection.openSession();
  session.startedAs = 'display';
  connection.started(session, 'nx', '', Date.now());
  connection.log.verbose(
    `Starting session: nx for ${login.user} from ${connection.from} id ${session.slot}`,
    { event: 'session.started', session: session.slot, sessionKind: 'nx', terminal: '' },
  );
  return session.number;
}
