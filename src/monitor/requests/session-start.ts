/**
 * `session-start`: shell, exec or subsystem (RFC 4254 §6.5). The monitor makes the whole order from
 * the login's grant; the leader carries it out as the user. Runs in: monitor.
 */
import type { SpawnOrder } from '../../../pam/leader-client.ts';
import { stdio } from '../../../pam/leader-protocol.ts';
import type { ServerConfig } from '../../policy/config.ts';
import { mayTakeUserEnvironment } from '../../policy/grant.ts';
import { textOf } from '../authentication.ts';
import type { Connection, Login, Session } from '../connection.ts';
import { buildEnvironment, parseUserEnvironmentFile } from '../environment.ts';
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
/** A leader takes 16 KiB of text, and LF may become CR LF. */
const maxGreetingBytes = 7 * 1024;
/** Of a command, for those who ask who is there. */
const maxShownCharacters = 256;
const nothing = Buffer.alloc(0);
/** sshd's exit status when pam_open_session has failed. */
const failedSessionStatus = 254;
const maxUserEnvironmentBytes = 64 * 1024;
const kinds: readonly string[] = ['shell', 'exec', 'subsystem'] satisfies readonly SessionKind[];
type StartReply = (typeof SessionStart)['reply'];

const refused: Answer<StartReply> = {
  values: { is: startedAs.refused, isPty: false, internalName: '', greeting: nothing, status: 0 },
};

async function userEnvironment(
  host: SessionStartHost,
  login: Login,
): Promise<readonly (readonly [string, string])[]> {
  if (!login.grant.permitUserEnvironment) {
    return [];
  }
  const path = `${login.account.home}/.ssh/environment`;
  const read = await login.leader.readFile(path, false, maxUserEnvironmentBytes);
  if (read.is !== 'read') {
    return [];
  }
  const text = host.readMemfd(read.descriptor, maxUserEnvironmentBytes).toString('utf8');
  return parseUserEnvironmentFile(text).filter(([name]) =>
    mayTakeUserEnvironment(login.grant, name),
  );
}

function told(greeting: Buffer, status: number, isOutput = false): Answer<StartReply> {
  const is = isOutput ? startedAs.printed : startedAs.told;
  return { values: { is, isPty: false, internalName: '', greeting, status } };
}

function onTerminal(text: Buffer): string {
  return text.toString('utf8').replaceAll(/\r?\n/g, '\r\n');
}

type Program = Extract<Plan, { is: 'program' }>;

async function orderFor(
  host: SessionStartHost,
  connection: Connection,
  login: Login,
  session: Session,
  kind: SessionKind,
  plan: Program,
  greeting: Buffer,
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
    term: terminal?.term.toString('utf8'),
    key: ofUser ? login.grant.environment : [],
    userFile: ofUser ? await userEnvironment(host, login) : [],
    set: login.config.setEnv.filter(([name]) => ofUser || name === 'TZ'),
    pam: ofUser ? established.environment.map((line) => line.toString('utf8')) : [],
    endpoints: connection.endpoints,
    originalCommand: plan.originalCommand,
    display: x11?.name,
    agentSocket: connection.agentSocket,
  }).map((line) => Buffer.from(line));
  const { xauthLocation } = host.config;
  if (x11 !== undefined && xauthLocation !== undefined) {
    await login.leader.x11Undo(undoFor(x11, xauthLocation, environment));
  }
  return {
    file: plan.file,
    arguments: plan.arguments.map((argument) => Buffer.from(argument)),
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
    stderrText: Buffer.from(onTerminal(greeting) + plan.stderrText),
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
  const { subsystems } = login.config;
  const plan = planSession(login, session, kind, command.toString('utf8'), subsystems);
  if (plan.is === 'refused') {
    connection.log.info(plan.why);
    return refused;
  }
  if (plan.is === 'told') {
    return told(Buffer.from(plan.text), plan.status);
  }
  if (plan.is === 'sftp-only') {
    logStart(connection, login, session, plan.logged, '');
    connection.log.error(
      `Connection from user ${login.user} ${connection.from}: refusing non-sftp session`,
    );
    const text = `This service allows sftp connections only.${session.terminal === undefined ? '' : '\r'}\n`;
    return told(Buffer.from(text), 1, true);
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
  if (sessionCode !== 0) {
    // The module's own words, where it had any.
    const why = messages.length > 0 ? textOf(messages) : Buffer.from(`${sessionText}\n`);
    return told(Buffer.from(onTerminal(why.subarray(0, maxGreetingBytes))), failedSessionStatus);
  }
  // sshd signals neither a forced command nor a subsystem.
  session.wasForced = plan.wasForced || kind === 'subsystem';
  const greeting = Buffer.concat([login.messages, textOf(messages)]).subarray(0, maxGreetingBytes);
  const order = await orderFor(
    host,
    connection,
    login,
    session,
    kind,
    plan,
    kind === 'shell' && session.terminal !== undefined ? greeting : nothing,
  );
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
      isPty: session.terminal !== undefined,
      internalName: '',
      greeting: kind === 'shell' && session.terminal === undefined ? greeting : nothing,
      status: 0,
    },
    descriptors: spawned.descriptors,
  };
}
