/**
 * The monitor's end of a leader: every order as a method. Runs in: monitor.
 */
import type { Peer } from '../src/ssh/wire/peer.ts';
import type { Call } from '../src/ssh/wire/call.ts';
import type { AnyFields, Values } from '../src/ssh/wire/field.ts';
import * as protocol from './leader-protocol.ts';

export interface PamMessage {
  /** `pamStyle` of leader-protocol.ts. */
  readonly style: number;
  readonly text: Buffer;
}
export interface ExitReport {
  readonly handle: number;
  readonly status: number;
  readonly signal: number;
  readonly coreDumped: boolean;
}
type ReplyOf<C> = C extends Call<infer _Q, infer R> ? Values<R> : never;
export type Account = ReplyOf<typeof protocol.Begin>;
export type Authenticated = ReplyOf<typeof protocol.Authenticate>;
export type Accounted = ReplyOf<typeof protocol.Account>;
export type Established = ReplyOf<typeof protocol.Establish>;
type SpawnValues = typeof protocol.Spawn extends Call<infer Q, infer _R> ? Values<Q> : never;
/** `before` absent: nothing. */
export type SpawnOrder = Omit<SpawnValues, 'before' | 'isSftpServer'> &
  Partial<Pick<SpawnValues, 'before' | 'isSftpServer'>>;
export type Preparation = SpawnValues['before'][number];
export type X11UndoOrder =
  typeof protocol.X11Undo extends Call<infer Q, infer _R> ? Values<Q> : never;

export type CommandOrder =
  typeof protocol.RunCommand extends Call<infer Q, infer _R> ? Values<Q> : never;

/** What listens, or why nothing does. */
export type Listening =
  | {
      readonly is: 'listening';
      readonly listener: number;
      readonly port: number;
      readonly descriptors: readonly number[];
    }
  | { readonly is: 'refused'; readonly reason: string };

/** How long a step may take that asks no person and no network service. */
const localStepMs = 20_000;
/** pam_acct_mgmt, setcred and open_session may ask a directory or a KDC. */
const remoteStepMs = 120_000;

export class LeaderClient {
  readonly pid: number;
  readonly #peer: Peer;
  onPrompt: (messages: readonly PamMessage[]) => void = () => {};
  onExited: (report: ExitReport) => void = () => {};
  onDesktopEnded: (reason: string, tail: string) => void = () => {};
  onAgentWanted: (socket: number) => void = () => {};
  /** Once; nothing is answered any more. */
  onGone: () => void = () => {};

  constructor(peer: Peer, pid: number) {
    this.#peer = peer;
    this.pid = pid;
    peer.onNotice(protocol.Prompt, ({ messages }) => this.onPrompt(messages));
    peer.onNotice(protocol.Exited, (report) => this.onExited(report));
    peer.onNotice(protocol.DesktopEnded, ({ reason, tail }) =>
      this.onDesktopEnded(reason, tail.toString('utf8')),
    );
    peer.onNotice(protocol.AgentWanted, ({ socket }) => this.onAgentWanted(socket));
    peer.onEnd = () => this.onGone();
  }

  async #order<Q extends AnyFields, R extends AnyFields>(
    order: Call<Q, R>,
    values: Values<Q>,
    timeoutMs = localStepMs,
  ): Promise<Values<R>> {
    return (await this.#peer.call(order, values, [], timeoutMs > 0 ? { timeoutMs } : {})).values;
  }

  begin(values: {
    readonly kind: number;
    readonly user: string;
    readonly service: string;
    readonly rhost: string;
    readonly tty: string;
    readonly connection: string;
    readonly loggedAs: string;
  }): Promise<Account> {
    return this.#order(protocol.Begin, values, remoteStepMs);
  }

  /** See `BeginPam`. */
  async beginPam(values: {
    readonly user: string;
    readonly service: string;
    readonly rhost: string;
    readonly tty: string;
    readonly connection: string;
  }): Promise<void> {
    await this.#order(protocol.BeginPam, values, remoteStepMs);
  }

  /** Throws CallFailure when it takes longer. */
  peerName(
    address: string,
    patienceMs: number,
  ): Promise<{ readonly verdict: number; readonly name: string }> {
    return this.#order(protocol.PeerName, { address, patienceMs }, patienceMs + localStepMs);
  }

  /** A conversation waits for a person: its limit is LoginGraceTime, kept by the monitor. */
  authenticate(values: {
    readonly mode: number;
    readonly password: Buffer;
    readonly allowEmpty: boolean;
    readonly refused: boolean;
  }): Promise<Authenticated> {
    return this.#order(protocol.Authenticate, values, 0);
  }

  answer(answers: readonly Buffer[], abort = false): void {
    this.#peer.notify(protocol.Answer, { abort, answers });
  }

  account(authInfo = ''): Promise<Accounted> {
    return this.#order(protocol.Account, { authInfo }, remoteStepMs);
  }

  async recordFailure(user: Buffer, isWritten: boolean): Promise<void> {
    await this.#order(protocol.RecordFailure, { user, isWritten });
  }

  lastLogin(): Promise<ReplyOf<typeof protocol.LastLogin>> {
    return this.#order(protocol.LastLogin, {});
  }

  /** The path of the file. */
  async authInfoFile(content: Buffer): Promise<string> {
    return (await this.#order(protocol.AuthInfoFile, { content })).path;
  }

  changePassword(): Promise<{ returnCode: number; messages: readonly PamMessage[] }> {
    return this.#order(protocol.ChangePassword, {}, 0);
  }

  gssStart(strict: boolean): Promise<ReplyOf<typeof protocol.GssStart>> {
    return this.#order(protocol.GssStart, { strict }, remoteStepMs);
  }

  gssToken(token: Buffer): Promise<ReplyOf<typeof protocol.GssToken>> {
    return this.#order(protocol.GssToken, { token }, remoteStepMs);
  }

  gssCheck(signed: Buffer, mic: Buffer): Promise<ReplyOf<typeof protocol.GssCheck>> {
    return this.#order(protocol.GssCheck, { signed, mic }, remoteStepMs);
  }

  gssKeepTickets(removes: boolean): Promise<ReplyOf<typeof protocol.GssKeepTickets>> {
    return this.#order(protocol.GssKeepTickets, { removes }, remoteStepMs);
  }

  /** root: ChrootDirectory; empty: none. */
  establish(tty: string, authInfo = '', root = ''): Promise<Established> {
    return this.#order(protocol.Establish, { tty, authInfo, root }, remoteStepMs);
  }

  /** The descriptor of a sealed memfd, or why there is none. */
  async readFile(
    path: string,
    strict: boolean,
    maxBytes: number,
  ): Promise<
    | { readonly is: 'read'; readonly descriptor: number }
    | { readonly is: 'absent' }
    | { readonly is: 'refused'; readonly reason: string }
  > {
    const { values, descriptors } = await this.#peer.call(
      protocol.ReadFile,
      { path, strict, maxBytes },
      [],
      { timeoutMs: remoteStepMs },
    );
    if (values.verdict === 0) {
      return { is: 'read', descriptor: descriptors[0] as number };
    }
    return values.verdict === 1 ? { is: 'absent' } : { is: 'refused', reason: values.reason };
  }

  /** Fails with ETIMEDOUT at `timeoutMs`. `descriptor`: with verdict `done`. */
  async runCommand(
    order: CommandOrder,
  ): Promise<ReplyOf<typeof protocol.RunCommand> & { readonly descriptor: number | undefined }> {
    const { values, descriptors } = await this.#peer.call(protocol.RunCommand, order, [], {
      timeoutMs: order.timeoutMs + localStepMs,
    });
    return { ...values, descriptor: descriptors[0] };
  }

  async spawn(order: SpawnOrder): Promise<{
    readonly handle: number;
    readonly pid: number;
    readonly tty: string;
    readonly descriptors: readonly number[];
  }> {
    const complete: SpawnValues = { before: [], isSftpServer: false, ...order };
    const { values, descriptors } = await this.#peer.call(protocol.Spawn, complete, [], {
      timeoutMs: localStepMs,
    });
    return { ...values, descriptors };
  }

  async writeFiles(
    below: string,
    files: readonly { readonly name: string; readonly content: Buffer }[],
  ): Promise<void> {
    await this.#order(protocol.WriteFiles, { below, files });
  }

  async signalProcess(handle: number, signal: number): Promise<void> {
    await this.#order(protocol.SignalProcess, { handle, signal });
  }

  async signal(handle: number, signal: number): Promise<void> {
    await this.#order(protocol.Signal, { handle, signal });
  }

  async connectUnix(path: string, notBelow = ''): Promise<number> {
    const { descriptors } = await this.#peer.call(protocol.ConnectUnix, { path, notBelow }, [], {
      timeoutMs: localStepMs,
    });
    return descriptors[0] as number;
  }

  /** The path of the socket, and its listening descriptor. */
  async agentListen(): Promise<{ readonly path: string; readonly descriptor: number }> {
    const { values, descriptors } = await this.#peer.call(protocol.AgentListen, {}, [], {
      timeoutMs: localStepMs,
    });
    return { path: values.path, descriptor: descriptors[0] as number };
  }

  /** The number of the display, and its listening descriptors. */
  async x11Listen(order: {
    readonly offset: number;
    readonly loopbackOnly: boolean;
    readonly family: number;
    readonly keepsNumber: boolean;
    readonly xauth: string;
  }): Promise<{ readonly display: number; readonly descriptors: readonly number[] }> {
    const { values, descriptors } = await this.#peer.call(protocol.X11Listen, order, [], {
      timeoutMs: localStepMs,
    });
    return { display: values.display, descriptors };
  }

  async x11Undo(order: X11UndoOrder): Promise<void> {
    await this.#order(protocol.X11Undo, order);
  }

  async x11Close(display: number): Promise<void> {
    await this.#order(protocol.X11Close, { display }, 2 * localStepMs);
  }

  /** `unknown` and `failed` carry what the resolver and connect(2) say. */
  async connectTcp(
    host: string,
    port: number,
    family: protocol.AddressFamilyNumber,
    patienceMs: number,
  ): Promise<
    | { readonly is: 'connected'; readonly descriptor: number }
    | { readonly is: 'unknown' | 'failed'; readonly reason: string }
  > {
    const { values, descriptors } = await this.#peer.call(
      protocol.ConnectTcp,
      { host, port, family, patienceMs },
      [],
      { timeoutMs: patienceMs + 2 * localStepMs },
    );
    if (values.verdict === protocol.connected.done) {
      return { is: 'connected', descriptor: descriptors[0] as number };
    }
    const is = values.verdict === protocol.connected.unknownHost ? 'unknown' : 'failed';
    return { is, reason: values.reason };
  }

  listenTcp(values: {
    readonly where: number;
    readonly address: string;
    readonly port: number;
    readonly family: protocol.AddressFamilyNumber;
  }): Promise<Listening> {
    return this.#listen(protocol.ListenTcp, values);
  }

  listenUnix(path: string, mask: number, unlinkFirst: boolean, notBelow = ''): Promise<Listening> {
    return this.#listen(protocol.ListenUnix, { path, mask, unlinkFirst, notBelow });
  }

  async #listen<Q extends AnyFields>(
    order: Call<Q, (typeof protocol.ListenTcp)['reply']>,
    values: Values<Q>,
  ): Promise<Listening> {
    const answer = await this.#peer.call(order, values, [], { timeoutMs: 2 * localStepMs });
    const { isRefused, reason, listener, port } = answer.values;
    return isRefused
      ? { is: 'refused', reason }
      : { is: 'listening', listener, port, descriptors: answer.descriptors };
  }

  async closeListener(listener: number): Promise<void> {
    await this.#order(protocol.CloseListener, { listener });
  }

  async logTail(handle: number, maxBytes: number): Promise<Buffer> {
    return (await this.#order(protocol.LogTail, { handle, maxBytes })).tail;
  }

  async desktopBegin(values: {
    readonly id: string;
    readonly directory: string;
    readonly startedAt: string;
    readonly xauthority: Buffer;
    /** Absent: no. */
    readonly hasAgent?: boolean;
  }): Promise<void> {
    await this.#order(protocol.DesktopBegin, { hasAgent: false, ...values });
  }

  /** From here on `onAgentWanted` is called. */
  async agentWatch(): Promise<void> {
    await this.#order(protocol.AgentWatch, {});
  }

  /** The descriptor of a connection to the desktop's agent socket. */
  async agentTake(socket: number): Promise<number> {
    const { descriptors } = await this.#peer.call(protocol.AgentTake, { socket }, [], {
      timeoutMs: localStepMs,
    });
    return descriptors[0] as number;
  }

  async agentDone(socket: number): Promise<void> {
    await this.#order(protocol.AgentDone, { socket });
  }

  /** Empty: they are there; else why not. */
  async takeTickets(from: string): Promise<string> {
    const taken = await this.#order(protocol.TakeTickets, { from }, remoteStepMs);
    return taken.verdict === protocol.ticketsTaken.done ? '' : taken.text;
  }

  desktopDescribe(): Promise<ReplyOf<typeof protocol.DesktopDescribe>> {
    return this.#order(protocol.DesktopDescribe, {});
  }

  async desktopNote(note: Buffer): Promise<void> {
    await this.#order(protocol.DesktopNote, { note });
  }

  async watchWindows(socketPath: string, cookie: Buffer, timeoutMs: number): Promise<number> {
    const values = { socketPath, cookie, timeoutMs };
    return (await this.#order(protocol.WatchWindows, values, timeoutMs + localStepMs)).mapped;
  }

  /** Of the desktop as it is now; fails when the display does not answer. */
  displaySize(socketPath: string): Promise<ReplyOf<typeof protocol.DisplaySize>> {
    return this.#order(protocol.DisplaySize, { socketPath });
  }

  /** Answers when everything is cleaned up; the leader exits then. */
  async end(graceMs: number, timeoutMs = graceMs + remoteStepMs): Promise<void> {
    await this.#order(protocol.End, { graceMs }, timeoutMs);
  }

  /** Without waiting: a login's leader cleans up by itself when its link ends. */
  drop(): void {
    this.#peer.close();
  }
}
