/**
 * How a desktop comes up: a leader of its own with its own PAM session, the X server, then the
 * user's session. Runs in: monitor.
 */
import { EngineError } from '../base/errors.ts';
import { stdio } from '../../pam/leader-protocol.ts';
import type { DisplayEngine, EngineOrder, SingleViewer } from './engine.ts';
import { desktopEnvironment, hasPlaceForAgent, sessionArguments } from './environment.ts';
import type { DesktopLeader, LeaderPort } from './leader-port.ts';
import { type Ending, LeaderWatch } from './leader-watch.ts';
import type { ReportOutcome } from './report.ts';
import { SingleViewerDesktop, type SingleViewerHost } from './single-viewer.ts';
import { cookieBytes, displaySocket, xauthority } from './x-display.ts';

export interface StartOrder extends EngineOrder {
  readonly id: string;
  readonly owner: string;
  readonly uid: number;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly directory: string;
  readonly cookie: Buffer;
  readonly engine: DisplayEngine;
  /** The cache of the login that wants it; empty: it has no tickets. */
  readonly tickets: string;
  /** As the login that wants it; undefined: the daemon's. */
  readonly pamService: string | undefined;
  /** As AllowAgentForwarding of the login that wants it; undefined: the daemon's. */
  readonly allowAgentForwarding: boolean | undefined;
}

export interface StartHost {
  readonly leaders: LeaderPort;
  /** Of the daemon as it is configured now; empty without PAM. */
  pamService(): string;
  /** A login may bring tickets. */
  takesTickets(): boolean;
  /** A login may bring its client's agent. */
  takesAgents(): boolean;
  /** Of a desktop of this user. */
  sessionCommand(owner: { readonly user: string; readonly groups: readonly string[] }): string;
  readonly x11Directory: string;
  readonly log: { readonly tag: string; info(line: string): void; debug(line: string): void };
  randomBytes(count: number): Buffer;
  /** Owns the descriptor. */
  readReport(descriptor: number, timeoutMs: number, signal: AbortSignal): Promise<ReportOutcome>;
  sleepMs(ms: number): Promise<void>;
}

interface DesktopAccount {
  readonly shell: string;
  readonly home: string;
  readonly groups: readonly string[];
}

export type StartOutcome =
  | {
      readonly is: 'started';
      readonly leader: DesktopLeader;
      readonly watch: LeaderWatch;
      /** Of an engine that takes one viewer at a time. */
      readonly single: SingleViewerDesktop | undefined;
      /** False: no window was mapped in time. Never rejects. */
      readonly hasWindow: Promise<boolean>;
    }
  | { readonly is: 'refused'; readonly text: string }
  | { readonly is: 'display taken' };

export const readyTimeoutMs = 10_000;
const lookEveryMs = 15;
export const windowTimeoutMs = 10_000;
/** A session that dies at once is seen within this time, if no window shows up before. */
const settleMs = 1_500;
/** After an essential process has ended its leader says so, with the end of the log. */
const farewellMs = 3_000;
const endGraceMs = 2_000;
const logTailBytes = 4_096;
const shownLines = 5;
const shownLineCharacters = 200;

/** The last five lines that are not empty, without control characters. */
export function lastLines(tail: string): readonly string[] {
  return (
    tail
      .split(/\r?\n/)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
      .map((line) => line.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ').trim())
      .filter((line) => line !== '')
      .slice(-shownLines)
      .map((line) => line.slice(0, shownLineCharacters))
  );
}

/** A desktop without the login's tickets is still a desktop. */
export async function bringTickets(
  leader: Pick<DesktopLeader, 'takeTickets'>,
  tickets: string,
  failed: (why: string) => void,
): Promise<void> {
  if (tickets === '') {
    return;
  }
  try {
    const why = await leader.takeTickets(tickets);
    if (why !== '') {
      failed(why);
    }
  } catch (error) {
    failed(error instanceof Error ? error.message : String(error));
  }
}

const leaderKindDesktop = 1;
const pamNewTokenRequired = 12;

async function tailOf(leader: DesktopLeader, handle: number): Promise<string> {
  try {
    return (await leader.logTail(handle, logTailBytes)).toString('utf8');
  } catch {
    // The leader has gone together with its log; the reason is told without it.
    return '';
  }
}

/** Why it ended, in words, with the end of the log. */
async function autopsy(
  host: StartHost,
  leader: DesktopLeader,
  watch: LeaderWatch,
  ending: Ending,
  handle: number,
): Promise<{ readonly why: string; readonly lines: readonly string[] }> {
  const early = ending.is === 'exited' ? await tailOf(leader, ending.handle) : '';
  const last =
    ending.is === 'exited'
      ? await Promise.race([watch.farewell, host.sleepMs(farewellMs).then(() => ending)])
      : ending;
  const how = ending.is === 'exited' ? ending.how : undefined;
  if (last.is === 'ended') {
    return { why: how ?? last.reason, lines: lastLines(early === '' ? last.tail : early) };
  }
  if (last.is === 'exited') {
    return { why: last.how, lines: lastLines(early || (await tailOf(leader, handle))) };
  }
  return { why: how ?? 'its leader ended', lines: lastLines(early) };
}

/** What `own` names stands in place of what was there. */
function withOwn(environment: readonly Buffer[], own: readonly string[]): readonly Buffer[] {
  const names = own.map((entry) => entry.slice(0, entry.indexOf('=') + 1));
  const kept = environment.filter(
    (entry) => !names.some((name) => entry.subarray(0, name.length).equals(Buffer.from(name))),
  );
  return [...kept, ...own.map((entry) => Buffer.from(entry))];
}

async function startServer(
  order: StartOrder,
  host: StartHost,
  leader: DesktopLeader,
  watch: LeaderWatch,
  environment: readonly Buffer[],
): Promise<{ readonly is: 'ready'; readonly handle: number } | { readonly is: 'display taken' }> {
  const command = order.engine.command(order);
  const { single } = order.engine;
  const server = await leader.spawn({
    file: command[0],
    arguments: command.map((word) => Buffer.from(word)),
    environment: withOwn(environment, order.engine.environment(order)),
    directory: order.userDirectory,
    stdio: stdio.log,
    columns: 0,
    rows: 0,
    widthPixels: 0,
    heightPixels: 0,
    modes: Buffer.alloc(0),
    reportDescriptor: single === undefined,
    essential: true,
    stderrText: Buffer.alloc(0),
  });
  const { handle } = server;
  const report =
    single === undefined
      ? await reportOf(server.descriptors.at(-1), order, host, watch)
      : await loggedReady(single, handle, order, host, leader, watch);
  if (report.is === 'line') {
    if (report.line === String(order.display)) {
      return { is: 'ready', handle };
    }
    throw new EngineError('ready', `${order.engine.name} reported a display that is not its own`);
  }
  if (report.is === 'late') {
    throw new EngineError(
      'ready',
      `${order.engine.name} was not ready within ${readyTimeoutMs / 1000} seconds`,
      lastLines(await tailOf(leader, server.handle)),
    );
  }
  const silence = host.sleepMs(farewellMs).then((): Ending => ({ is: 'gone' }));
  const ending = await Promise.race([watch.ended, silence]);
  const { why, lines } = await autopsy(host, leader, watch, ending, server.handle);
  if (order.engine.isDisplayTaken(lines)) {
    return { is: 'display taken' };
  }
  throw new EngineError('ready', `${order.engine.name} ${why}`, lines);
}

function sessionOf(order: StartOrder, host: StartHost, groups: readonly string[]): string {
  const session = order.engine.session(order, host.sessionCommand({ user: order.owner, groups }));
  if ('why' in session) {
    throw new EngineError('run', session.why);
  }
  return session.command;
}

async function reportOf(
  descriptor: number | undefined,
  order: StartOrder,
  host: StartHost,
  watch: LeaderWatch,
): Promise<ReportOutcome> {
  if (descriptor === undefined) {
    throw new EngineError('spawn', `${order.engine.name}: no report descriptor came`);
  }
  return await host.readReport(descriptor, readyTimeoutMs, watch.signal);
}

/** An engine that says by its log that it waits for its first viewer. */
async function loggedReady(
  single: SingleViewer,
  handle: number,
  order: StartOrder,
  host: StartHost,
  leader: DesktopLeader,
  watch: LeaderWatch,
): Promise<ReportOutcome> {
  for (let left = readyTimeoutMs; left > 0; left -= lookEveryMs) {
    if (single.stateOf(await tailOf(leader, handle)) === 'waiting') {
      return { is: 'line', line: String(order.display) };
    }
    if (watch.signal.aborted) {
      return { is: 'closed' };
    }
    await host.sleepMs(lookEveryMs);
  }
  return { is: 'late' };
}

async function startSession(
  order: StartOrder,
  host: StartHost,
  leader: DesktopLeader,
  watch: LeaderWatch,
  account: DesktopAccount,
  environment: readonly Buffer[],
): Promise<{ readonly hasWindow: Promise<boolean> }> {
  const session = await leader.spawn({
    file: account.shell,
    arguments: sessionArguments(account.shell, sessionOf(order, host, account.groups)).map((word) =>
      Buffer.from(word),
    ),
    environment,
    directory: account.home,
    stdio: stdio.log,
    columns: 0,
    rows: 0,
    widthPixels: 0,
    heightPixels: 0,
    modes: Buffer.alloc(0),
    reportDescriptor: false,
    essential: true,
    stderrText: Buffer.alloc(0),
  });
  const socket = displaySocket(host.x11Directory, order.display);
  const hasWindow = leader.watchWindows(socket, order.cookie, windowTimeoutMs).then(
    (mapped) => mapped > 0,
    (error: unknown) => {
      // Its end is told in another way; that the watch itself failed is no news for the user.
      host.log.debug(`desktop ${order.id}: windows are not watched: ${String(error)}`);
      return true;
    },
  );
  const first = await Promise.race([
    watch.ended,
    hasWindow.then(() => undefined),
    host.sleepMs(settleMs).then(() => undefined),
  ]);
  const ending = first ?? (watch.signal.aborted ? await watch.ended : undefined);
  if (ending !== undefined) {
    const { why, lines } = await autopsy(host, leader, watch, ending, session.handle);
    throw new EngineError('run', `the session ${why}`, lines);
  }
  return { hasWindow };
}

async function establish(
  order: StartOrder,
  host: StartHost,
  leader: DesktopLeader,
): Promise<
  | { readonly is: 'refused'; readonly text: string }
  | {
      readonly is: 'established';
      readonly account: DesktopAccount;
      readonly environment: readonly Buffer[];
      readonly hasAgent: boolean;
    }
> {
  const refused = (why: string) => {
    host.log.info(`desktop ${order.id} of ${order.owner} refused: ${why}`);
    return { is: 'refused', text: 'The account may not start a desktop now.' } as const;
  };
  const tty = `:${order.display}`;
  const account = await leader.begin({
    kind: leaderKindDesktop,
    user: order.owner,
    service: host.pamService() === '' ? '' : (order.pamService ?? host.pamService()),
    rhost: '',
    tty,
    connection: '',
    loggedAs: `${host.log.tag}[${leader.pid}]`,
  });
  if (!account.exists || account.uid !== order.uid) {
    return refused('the account is not the one that has logged in');
  }
  const accounted = await leader.account();
  if (accounted.returnCode === pamNewTokenRequired || accounted.newPasswordRequired) {
    return refused('the password has expired');
  }
  if (accounted.returnCode !== 0 || accounted.userChanged) {
    return refused(`account check: ${accounted.returnCode}`);
  }
  const established = await leader.establish(tty);
  if (established.setcredCode !== 0) {
    host.log.info(`desktop ${order.id}: credentials: ${established.setcredCode}`);
  }
  if (established.sessionCode !== 0) {
    return refused(`session: ${established.sessionCode} ${established.sessionText}`);
  }
  const hasPlaceForTickets = order.tickets !== '' || host.takesTickets();
  const hasAgent =
    (order.allowAgentForwarding ?? host.takesAgents()) && hasPlaceForAgent(order.userDirectory);
  const environment = desktopEnvironment(
    account,
    { ...order, hasPlaceForTickets, hasAgent },
    established.environment,
  );
  return { is: 'established', account, environment, hasAgent };
}

function newCookie(host: Pick<StartHost, 'randomBytes'>): string {
  return host.randomBytes(cookieBytes).toString('hex');
}

/** Also for a desktop that an earlier monitor has started. */
export function singleViewerHost(
  {
    id,
    engine,
    userDirectory,
    cookie,
  }: Pick<StartOrder, 'id' | 'engine' | 'userDirectory' | 'cookie'>,
  host: Pick<StartHost, 'randomBytes' | 'sleepMs' | 'log'>,
  leader: DesktopLeader,
  signal: AbortSignal,
  handle: number,
): SingleViewerHost {
  return {
    leader,
    signal,
    engine: engine.single as SingleViewer,
    handle,
    displayCookie: cookie,
    socketPath: engine.socketPath(userDirectory),
    sleepMs: (ms) => host.sleepMs(ms),
    newCookie: () => newCookie(host),
    log: (line) => host.log.info(`desktop ${id} ${line}`),
  };
}

async function bringUp(
  order: StartOrder,
  host: StartHost,
  leader: DesktopLeader,
): Promise<StartOutcome> {
  const watch = new LeaderWatch(leader);
  const established = await establish(order, host, leader);
  if (established.is === 'refused') {
    return established;
  }
  const { account, environment, hasAgent } = established;
  await leader.desktopBegin({
    id: order.id,
    directory: order.directory,
    startedAt: order.startedAt,
    xauthority: xauthority(order.cookie),
    hasAgent,
  });
  // Before anything of the user's runs: what it touches first may be on a file system that wants them.
  await bringTickets(leader, order.tickets, (why) =>
    host.log.info(`desktop ${order.id}: the tickets of the login are not there: ${why}`),
  );
  const { single } = order.engine;
  const cookie = newCookie(host);
  if (single !== undefined) {
    await leader.writeFiles(single.below, single.files(order, cookie, order.cookie));
  }
  const server = await startServer(order, host, leader, watch, environment);
  if (server.is === 'display taken') {
    return server;
  }
  const begin = () => startSession(order, host, leader, watch, account, environment);
  if (single === undefined) {
    const { hasWindow } = await begin();
    return { is: 'started', leader, watch, single, hasWindow };
  }
  const seen = Promise.withResolvers<boolean>();
  const desktop = new SingleViewerDesktop(
    singleViewerHost(order, host, leader, watch.signal, server.handle),
    order,
    cookie,
    async () => {
      const { hasWindow } = await begin();
      void hasWindow.then(seen.resolve);
    },
  );
  await desktop.ready();
  return { is: 'started', leader, watch, single: desktop, hasWindow: seen.promise };
}

/** Whatever is left of it; the broker removes what a leader that does not answer leaves behind. */
async function endLeader(leader: DesktopLeader, host: StartHost): Promise<void> {
  try {
    await leader.end(endGraceMs);
  } catch (error) {
    host.log.debug(`leader ${leader.pid} did not end in order: ${String(error)}`);
    leader.drop();
  }
}

/** Throws EngineError; whatever the outcome, no leader is left unless `is` says `started`. */
export async function startDesktop(order: StartOrder, host: StartHost): Promise<StartOutcome> {
  const leader = await host.leaders.startDesktopLeader(order.owner);
  let outcome: StartOutcome | undefined;
  try {
    outcome = await bringUp(order, host, leader);
    return outcome;
  } catch (error) {
    if (error instanceof EngineError) {
      throw error;
    }
    throw new EngineError('spawn', error instanceof Error ? error.message : String(error));
  } finally {
    if (outcome?.is !== 'started') {
      await endLeader(leader, host);
    }
  }
}
