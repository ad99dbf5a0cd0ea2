/**
 * One run of `sshdesk connect`, from settings to exit code. Runs in: user.
 */
import { isatty } from 'node:tty';
import { flushAfterCloseMs } from '../../base/limits.ts';
import { ClientFailure } from '../../ssh/client/failure.ts';
import type { ClientFailureKind } from '../../ssh/client/failure.ts';
import type { ClientSession, Subsystem } from '../../ssh/client/session.ts';
import { forwardAgent } from './agent-forward.ts';
import { Desktops } from './desktop.ts';
import type { DesktopRequest } from './desktop.ts';
import { findNxProxy, startNxProxy } from './nx-proxy.ts';
import { mayWrite } from './file-trouble.ts';
import { Forwards, type ForwardSettings } from './forwards.ts';
import { formatJson, formatTable } from './list.ts';
import { listenForViewers } from './listen.ts';
import { login, questioningOn } from './login.ts';
import { printable } from './printable.ts';
import { relay } from './relay.ts';
import { noStatus } from './no-status.ts';
import { type ProgramRequest, runProgram, type Streams } from './remote-program.ts';
import { takePicture, writePicture } from './screenshot.ts';
import { readSettings, surroundings } from './settings.ts';
import type { Settings } from './settings.ts';
import type { SshArguments } from './ssh-arguments.ts';
import { Interrupted, Terminal } from './terminal.ts';
import { WebShow } from '../web/show.ts';
import type { WebRequest } from '../web/show.ts';
import { findViewer, startViewer } from './viewer.ts';
import type { RunningViewer, Viewer } from './viewer.ts';

export type Purpose =
  | { readonly is: 'view' }
  /** By NX, with parameters for a line of this kind. */
  | { readonly is: 'nx'; readonly link: string }
  | { readonly is: 'listen'; readonly port: number }
  | ({ readonly is: 'web' } & WebRequest)
  | { readonly is: 'screenshot'; readonly path: string; readonly waitMs: number }
  | { readonly is: 'list'; readonly isJson: boolean }
  | { readonly is: 'program'; readonly program: ProgramRequest }
  /** Nothing but forwards (-N). */
  | { readonly is: 'forward' };

export interface ConnectRequest {
  readonly isQuiet: boolean;
  readonly ssh: SshArguments;
  readonly desktop: DesktopRequest;
  readonly purpose: Purpose;
}

/** A contract: docs/reference/commands.md. */
export const exitCodes: Readonly<Record<ClientFailureKind, number>> = {
  desktop: 1,
  usage: 2,
  authentication: 5,
  'host-key': 6,
  connection: 255,
};

/** Gives the exit code; failures have been said on stderr. */
export async function runConnect(request: ConnectRequest): Promise<number> {
  const terminal = new Terminal(process.stderr);
  terminal.isQuiet = request.isQuiet;
  // The numbers below are the program's own then.
  const isProgram = request.purpose.is === 'program';
  const interrupt = new AbortController();
  let signalCode = 0;
  const numbers = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;
  const onSignal = (name: NodeJS.Signals): void => {
    signalCode = 128 + (numbers[name as keyof typeof numbers] ?? 0);
    terminal.restore();
    interrupt.abort(new Interrupted(name));
  };
  const names = Object.keys(numbers) as (keyof typeof numbers)[];
  for (const name of names) process.on(name, onSignal);
  try {
    const status = await new ConnectRun(request, terminal, interrupt.signal).run();
    return signalCode || status;
  } catch (error) {
    terminal.restore();
    if (error instanceof Interrupted) {
      if (isProgram) terminal.line(`Ended by ${signalCode === 0 ? 'SIGINT' : error.message}.`);
      return isProgram ? noStatus : signalCode || 130;
    }
    if (!(error instanceof ClientFailure)) throw error;
    terminal.line(printable(error.detail));
    return isProgram ? noStatus : exitCodes[error.kind];
  } finally {
    terminal.restore();
    for (const name of names) process.off(name, onSignal);
    // Output that nobody reads does not keep the process.
    if (isProgram) setTimeout(() => process.exit(), flushAfterCloseMs).unref();
  }
}

class ConnectRun {
  readonly #request: ConnectRequest;
  readonly #terminal: Terminal;
  readonly #signal: AbortSignal;

  constructor(request: ConnectRequest, terminal: Terminal, signal: AbortSignal) {
    this.#request = request;
    this.#terminal = terminal;
    this.#signal = signal;
  }

  /** Gives the exit code. */
  async run(): Promise<number> {
    const around = surroundings(process.env);
    const settings = await readSettings(this.#request.ssh, around);
    if (settings.ignored.length > 0) {
      this.#terminal.line(`Warning: without effect here: ${settings.ignored.join(', ')}`);
    }
    if (settings.agentForwarding.is === 'missing') {
      this.#terminal.line('Warning: there is no agent to forward: SSH_AUTH_SOCK is not set');
    }
    // Looked at first: nobody should answer questions for a desktop that cannot be shown.
    const { purpose } = this.#request;
    const viewer = purpose.is === 'view' ? await findViewer(process.env) : null;
    const proxy = purpose.is === 'nx' ? await findNxProxy(process.env) : null;
    if (purpose.is === 'screenshot') await mayWrite(purpose.path);
    const session = await login(settings, this.#terminal, this.#signal);
    session.onRefused = (what) => this.#terminal.line(`Warning: the server refuses ${what}.`);
    const { agentForwarding } = settings;
    const { isHostKeyChanged } = session;
    if (isHostKeyChanged) {
      this.#terminal.line(
        'Neither the agent nor ports are forwarded to a host whose key has changed.',
      );
    } else if (agentForwarding.is === 'to') {
      forwardAgent(session, agentForwarding.path);
    }
    const forwarding = this.#forwarding(settings, isHostKeyChanged);
    const forwards = new Forwards(session, forwarding, this.#terminal);
    try {
      await this.#untilEnd(session, forwards.start());
      if (purpose.is === 'program') {
        return await this.#program(session, forwards, purpose.program, settings);
      }
      await this.#untilEnd(session, this.#serve(session, settings, viewer, proxy));
      return 0;
    } finally {
      forwards.close();
      this.#terminal.progress('');
      await session.close();
    }
  }

  /** A list and a picture take a moment: forwards of the configuration are for who stays. */
  #forwarding(settings: Settings, isHostKeyChanged: boolean): ForwardSettings {
    const { is } = this.#request.purpose;
    const isShort = is === 'list' || is === 'screenshot';
    return isShort || isHostKeyChanged
      ? { ...settings.forwarding, forwards: [] }
      : settings.forwarding;
  }

  async #program(
    session: ClientSession,
    forwards: Forwards,
    program: ProgramRequest,
    settings: Settings,
  ): Promise<number> {
    const streams: Streams = {
      stdin: () => process.stdin,
      isStdinTty: isatty(0),
      stdout: process.stdout,
      stderr: process.stderr,
    };
    const run = runProgram(session, program, settings.program, this.#terminal, streams);
    const status = await Promise.race([run, this.#interrupted()]);
    // As with ssh: connections through it outlive the program.
    await Promise.race([forwards.idle(), session.ended, this.#interrupted()]);
    return status;
  }

  /** The work, unless the connection is lost or the person interrupts first. */
  async #untilEnd(session: ClientSession, work: Promise<void>): Promise<void> {
    const lost = session.ended.then((failure) => {
      if (failure) throw failure;
    });
    await Promise.race([work, lost, this.#interrupted()]);
  }

  #interrupted(): Promise<never> {
    return new Promise<never>((_resolve, reject) => {
      const onAbort = (): void => reject(this.#signal.reason as Error);
      if (this.#signal.aborted) onAbort();
      else this.#signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #serve(
    session: ClientSession,
    settings: Settings,
    viewer: Viewer | null,
    proxy: string | null,
  ): Promise<void> {
    const { desktop, purpose } = this.#request;
    const desktops = new Desktops(
      session,
      desktop,
      this.#terminal,
      questioningOn(settings, this.#terminal, session.isHostKeyChanged),
    );
    switch (purpose.is) {
      case 'list':
        return this.#list(desktops, purpose.isJson);
      case 'screenshot':
        return this.#screenshot(desktops, purpose.path, purpose.waitMs);
      case 'listen':
        return this.#listen(desktops, session, purpose.port);
      case 'web':
        return this.#web(desktops, session, settings, purpose);
      case 'forward':
        this.#terminal.progress('');
        return session.ended.then(() => undefined);
      case 'program':
        throw new Error('a program is run elsewhere');
      case 'nx':
        if (!proxy) throw new Error('the proxy is found before the login');
        return this.#nx(desktops, proxy, purpose.link);
      case 'view':
        if (!viewer) throw new Error('a viewer is found before the login');
        return this.#view(desktops, settings, viewer);
    }
  }

  async #list(desktops: Desktops, isJson: boolean): Promise<void> {
    const listed = await desktops.list();
    this.#terminal.progress('');
    process.stdout.write(isJson ? formatJson(listed) : formatTable(listed));
  }

  async #screenshot(desktops: Desktops, path: string, waitMs: number): Promise<void> {
    if (this.#request.desktop.geometry) await desktops.prepare();
    const channel = await desktops.open();
    this.#terminal.progress('drawing …');
    const picture = await takePicture(channel, waitMs);
    await writePicture(path, picture);
  }

  async #listen(desktops: Desktops, session: ClientSession, port: number): Promise<void> {
    await desktops.prepare();
    const listening = await listenForViewers(port, desktops, this.#terminal);
    this.#terminal.progress('');
    this.#terminal.line(
      'Warning: every user of this machine can reach this port, and the desktop behind it.',
    );
    process.stdout.write(`127.0.0.1:${listening.port}\n`);
    this.#signal.addEventListener('abort', () => listening.close(), { once: true });
    try {
      await session.ended;
    } finally {
      listening.close();
    }
  }

  async #web(
    desktops: Desktops,
    session: ClientSession,
    settings: Settings,
    request: WebRequest,
  ): Promise<void> {
    await desktops.prepare();
    const title = `${settings.user}@${settings.originalHost}`;
    const isResized = this.#request.desktop.geometry === null;
    const show = new WebShow(desktops, this.#terminal, request, session, { title, isResized });
    await show.run(this.#signal);
  }

  async #view(desktops: Desktops, settings: Settings, viewer: Viewer): Promise<void> {
    if (this.#request.desktop.geometry) await desktops.prepare();
    const channel = await desktops.open();
    const title = `${settings.user}@${settings.originalHost}`;
    await this.#show(channel, () => startViewer(viewer, title, process.env, this.#signal));
  }

  async #nx(desktops: Desktops, proxy: string, link: string): Promise<void> {
    const { channel, nx } = await desktops.openNx(link);
    await this.#show(channel, () => startNxProxy(proxy, nx, process.env, this.#signal));
  }

  async #show(channel: Subsystem, start: () => Promise<RunningViewer>): Promise<void> {
    this.#terminal.progress('drawing …');
    let running: RunningViewer;
    try {
      running = await start();
    } catch (error) {
      channel.close();
      throw error;
    }
    this.#signal.addEventListener('abort', () => running.stop(), { once: true });
    const end = await relay(running.socket, channel, () => this.#terminal.progress(''));
    this.#terminal.progress('');
    await this.#waitForViewer(running, end.by);
    if (end.by === 'desktop') {
      const line = 'The desktop has closed the connection.';
      // Suspended: 0. With any other status it has ended, and the server has said why.
      if (end.status !== 0 && end.status !== null) throw new ClientFailure('desktop', line);
      this.#terminal.line(line);
    }
  }

  /** A viewer whose desktop has gone may stay with a message: it is asked to leave. */
  async #waitForViewer(running: RunningViewer, endedBy: 'viewer' | 'desktop'): Promise<void> {
    const stop = setTimeout(() => running.stop(), endedBy === 'desktop' ? 1000 : 5000);
    const why = await running.ended;
    clearTimeout(stop);
    if (why !== null && endedBy === 'viewer') throw new ClientFailure('desktop', why);
  }
}
