/**
 * `session-start`: shell, exec or subsystem (RFC 4254 §6.5). The monitor makes the whole order from
 * the login's grant; the leader carries it out as the user. Runs in: monitor.
 */
import type { SpawnOrder } from '../../../pam/leader-client.ts';
import { stdio } from '../../../pam/leader-protocol.ts';
import type { ServerConfig } from '../../policy/config.ts';
import { mayTakeUserEnvironment } from '../../policy/grant.ts';
import type { Connection, Login, Session } from '../connection.ts';
import { textOf } from '../conversation.ts';
import {
  buildEnvironment,
  parseUserEnvironmentFile,
  type UserEnvironment,
} from '../environment.ts';
import { greetingFor, nologinText } from '../greeting.ts';
import { SessionStart, startedAs } from '../link.ts';
import { CallFailure } from '../../ssh/wire/peer.ts';
import { loginOf, sessionOf } from '../login.ts';
import { preparationsFor, undoFor } from '../preparations.ts';
import { type Answer, type AnyRow, row } from '../request-table.ts';
import { type Plan, planSession, type SessionKind } from '../session-plan.ts';

export interface SessionStartHost {
  readonly config: ServerConfig;
  readMemfd(descriptor: number, maxBytes: number): Buffer;
}

const maxCommandBytes = 256 * 1024 - 1;
/** Of a command, for those who ask who is there. */
const maxShownCharacters = 256;
/** A message between the processes has to hold it, and LF may become CR LF. */
const maxGreetingBytes = 48 * 1024;
/** A leader takes so much in front of a program. */
const maxWarningBytes = 8 * 1024;
const nothing = Buffer.alloc(0);
/** sshd's exit status when pam_open_session has failed, and when /etc/nologin is there. */
const keptOutStatus = 254;
/** And when it gives up. */
const fatalStatus = 255;
const maxUserEnvironmentBytes = 64 * 1024;
const kinds: readonly string[] = ['shell', 'exec', 'subsystem'] satisfies readonly SessionKind[];
type StartReply = (typeof SessionStart)['reply'];

const refused: Answer<StartReply> = {
  values: { is: startedAs.refused, isPty: false, internalName: '', greeting: nothing, status: 0 },
};

interface UserFile {
  readonly variables: UserEnvironment['variables'];
  /** What the user reads of it. */
  readonly text: string;
  readonly isTooLong: boolean;
}

/** ~/.ssh/environment, read as the user. */
async function userEnvironment(
  host: SessionStartHost,
  connection: Connection,
  login: Login,
): Promise<UserFile> {
  const none = { variables: [], text: '', isTooLong: false };
  if (!login.grant.permitUserEnvironment) {
    return none;
  }
  const path = `${login.account.home}/.ssh/environment`;
  const read = await login.leader.readFile(path, false, maxUserEnvironmentBytes);
  if (read.is !== 'read') {
    if (read.is === 'refused') {
      connection.log.info(`${path} of ${login.user} is passed over: ${read.reason}`);
    }
    return none;
  }
  const file = parseUserEnvironmentFile(host.readMemfd(read.descriptor, maxUserEnvironmentBytes));
  return {
    variables: file.variables.filter(([name]) => mayTakeUserEnvironment(login.grant, name)),
    text: file.badLines.map((line) => `Bad line ${line} in ${path.slice(0, 100)}\n`).join(''),
    isTooLong: file.isTooLong,
  };
}

/** The file of ExposeAuthInfo: one for all sessions of the login. */
function authInfoFile(connection: Connection, login: Login): Promise<string | undefined> {
  if (!login.config.exposeAuthInfo) {
    return Promise.resolve(undefined);
  }
  login.authInfoFile ??= login.leader
    .authInfoFile(Buffer.from(login.authInfo))
    .catch((error: unknown) => {
      connection.log.error(
        `ExposeAuthInfo: no file for ${login.user}: ${(error as Error).message}`,
      );
      return undefined;
    });
  return login.authInfoFile;
}

/** Nothing runs. A terminal, which nobody has opened, would have made CR LF of LF. */
function told(
  session: Session,
  text: Buffer,
  status: number,
  isOutput = false,
): Answer<StartReply> {
  const hasTerminal = session.terminal !== undefined;
  return {
    values: {
      is: isOutput || hasTerminal ? startedAs.printed : startedAs.told,
      isPty: false,
      internalName: '',
      greeting: hasTerminal ? onTerminal(text) : text,
      status,
    },
  };
}

function onTerminal(text: Buffer): Buffer {
  return Buffer.from(text.toString('latin1').replaceAll('\n', '\r\n'), 'latin1');
}

type Program = Extract<Plan, { is: 'program' }>;

async function orderFor(
  host: SessionStartHost,
  connection: Connection,
  login: Login,
  session: Session,
  kind: SessionKind,
  plan: Program,
  userFile: UserFile,
): Promise<SpawnOrder> {
  const established = await login.established;
  const { terminal } = session;
  const x11 = session.x11 === 'opening' ? undefined : session.x11;
  // What a user may set is not for a program that is meant to do sftp and nothing else.
  const ofUser = !plan.isSftpServer;
  const environment = buildEnvironment({
    client: ofUser ? session.environment : [],
    account: {
      ...login.account,
      shell: login.account.shell === '' ? '/bin/sh' : login.account.shell,
    },
    usePam: host.config.usePam,
    timeZone: process.env.TZ,
    term: terminal?.term,
    key: ofUser ? login.grant.environment : [],
    userFile: ofUser ? userFile.variables : [],
    set: login.config.setEnv.filter(([name]) => ofUser || name === 'TZ'),
    pam: ofUser ? established.environment : [],
    endpoints: connection.endpoints,
    originalCommand: plan.originalCommand,
    display: x11?.name,
    agentSocket: connection.agentSocket,
    authInfoFile: await authInfoFile(connection, login),
  });
  const { xauthLocation } = host.config;
  if (x11 !== undefined && xauthLocation !== undefined) {
    await login.leader.x11Undo(undoFor(x11, xauthLocation, environment));
  }
  return {
    file: plan.file,
    arguments: plan.arguments,
    environment,
    directory: login.account.home,
    stdio: terminal === undefined ? stdio.pipes : stdio.pty,
    columns: terminal?.columns ?? 0,
    rows: terminal?.rows ?? 0,
    widthPixels: terminal?.widthPixels ?? 0,
    heightPixels: terminal?.heightPixels ?? 0,
    modes: terminal?.modes ?? Buffer.alloc(0),
    reportDescriptor: false,
    essential: false,
    stderrText: Buffer.from(plan.stderrText + userFile.text).subarray(0, maxWarningBytes),
    before: preparationsFor(login, kind, x11, xauthLocation),
    isSftpServer: plan.isSftpServer,
  };
}

export function sessionStart(host: SessionStartHost): AnyRow {
  return row({
    schema: SessionStart,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    async handle(connection, values) {
      const login = loginOf(connection);
      const session = sessionOf(connection, values.session);
      const { kind, command } = values;
      if (
        session.startedAs !== '' ||
        !kinds.includes(kind) ||
        command.length > maxCommandBytes ||
        command.includes(0)
      ) {
        return refused;
      }
      // From here on a second start of the same session is refused, whatever is waited for.
      session.startedAs = 'starting';
      try {
        return await start(host, connection, login, session, kind as SessionKind, command);
      } finally {
        if (session.startedAs === 'starting') {
          session.startedAs = '';
        }
        connection.forget(session);
      }
    },
  });
}

/** The client reads of no reason; who looks for one finds it in the log. */
async function spawn(
  connection: Connection,
  login: Login,
  order: SpawnOrder,
): Promise<Awaited<ReturnType<Login['leader']['spawn']>>> {
  try {
    return await login.leader.spawn(order);
  } catch (error) {
    if (error instanceof CallFailure) {
      connection.log.error(`cannot start ${order.file} for ${login.user}: ${error.text}`);
    }
    throw error;
  }
}

/** terminal: empty: none. */
function logStart(
  connection: Connection,
  login: Login,
  session: Session,
  sessionKind: string,
  terminal: string,
): void {
  const where = terminal === '' ? '' : ` on ${terminal}`;
  connection.log.verbose(
    `Starting session: ${sessionKind}${where} for ${login.user} from ${connection.from} id ${session.slot}`,
    { event: 'session.started', session: session.slot, sessionKind, terminal },
  );
}

async function start(
  host: SessionStartHost,
  connection: Connection,
  login: Login,
  session: Session,
  kind: SessionKind,
  command: Buffer,
): Promise<Answer<StartReply>> {
  await login.established;
  const plan = planSession(login, session, kind, command, login.config.subsystems);
  if (plan.is === 'refused') {
    connection.log.info(plan.why);
    return refused;
  }
  if (plan.is === 'told') {
    return told(session, Buffer.from(plan.text), plan.status);
  }
  const closed = await nologinText(login, connection.log);
  if (closed !== undefined) {
    return told(session, closed.subarray(0, maxGreetingBytes), keptOutStatus);
  }
  if (plan.is === 'sftp-only') {
    logStart(connection, login, session, plan.logged, '');
    connection.log.error(
      `Connection from user ${login.user} ${connection.from}: refusing non-sftp session`,
    );
    return told(session, Buffer.from('This service allows sftp connections only.\n'), 1, true);
  }
  if (plan.is === 'internal') {
    session.startedAs = plan.name;
    connection.started(session, `subsystem '${plan.name}'`, '', Date.now());
    logStart(connection, login, session, `subsystem '${plan.name}'`, '');
    return {
      values: {
        is: startedAs.internal,
        isPty: false,
        internalName: plan.name,
        greeting: nothing,
        status: 0,
      },
    };
  }
  const { sessionCode, sessionText, messages } = await login.established;
  const said = Buffer.concat([login.messages, textOf(messages)]);
  if (sessionCode !== 0) {
    // The module's own words, where it had any.
    const why = said.length > 0 ? said : Buffer.from(`${sessionText}\n`);
    return told(session, why.subarray(0, maxGreetingBytes), keptOutStatus, true);
  }
  const userFile = await userEnvironment(host, connection, login);
  if (userFile.isTooLong) {
    connection.log.fatal(
      `Too many lines in environment file ${login.account.home}/.ssh/environment`,
    );
    return told(session, nothing, fatalStatus);
  }
  // sshd signals neither a forced command nor a subsystem.
  session.wasForced = plan.wasForced || kind === 'subsystem';
  const hasTerminal = session.terminal !== undefined;
  const greeting = plan.isLoginShell
    ? (await greetingFor(login, hasTerminal, said, connection.log)).subarray(0, maxGreetingBytes)
    : nothing;
  const order = await orderFor(host, connection, login, session, kind, plan, userFile);
  const spawned = await spawn(connection, login, order);
  session.startedAs = 'process';
  const shown =
    plan.logged === 'command' ? `command '${plan.arguments.at(-1) ?? ''}'` : plan.logged;
  connection.started(
    session,
    shown.slice(0, maxShownCharacters),
    spawned.tty.replace('/dev/', ''),
    Date.now(),
  );
  connection.assignHandle(session, spawned.handle);
  logStart(connection, login, session, plan.logged, spawned.tty.replace('/dev/', ''));
  return {
    values: {
      is: startedAs.process,
      isPty: hasTerminal,
      internalName: '',
      greeting: hasTerminal ? onTerminal(greeting) : greeting,
      status: 0,
    },
    descriptors: spawned.descriptors,
  };
}
