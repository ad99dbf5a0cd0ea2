/**
 * What tests of real desktops share: the server with a session command of the test's choice, the
 * subsystems by the stock client, programs started inside a desktop. Runs in: test, in the lab.
 */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { eventually, run } from './child.ts';
import { checkout, type LabUser } from './lab.ts';
import { readProcFile, type ServerOptions, startServer, type TestServer } from './server.ts';
import { type ClientOptions, spawnClient, sshArguments } from './stock-client.ts';

export const desktopsDirectory = '/run/sshdesk/desktops';
let configs = 0;

/** `session`: the command of every desktop; undefined: what the machine has. */
export async function startDesktopServer(
  session?: string,
  options: ServerOptions & {
    /** More lines of sshdesk_config. */
    readonly desktops?: readonly string[];
  } = {},
): Promise<TestServer> {
  const file = `/tmp/desktop-config-${process.pid}-${configs++}`;
  const lines = [
    ...(session === undefined ? [] : [`XSession ${session}`]),
    ...(options.desktops ?? []),
  ];
  writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
  const server = await startServer({
    ...options,
    config: ['UsePAM yes', ...(options.config ?? [])],
    flags: ['--desktop-config', file, ...(options.flags ?? [])],
  });
  // The port takes connections a moment before the desktops of the last daemon are found again.
  await eventually('the control socket', async () => sessionsCommand(['list']).status === 0);
  return server;
}

/** Bytes as they come, to be waited for. */
export class Incoming {
  #bytes = Buffer.alloc(0);
  #isOver = false;
  #wake = (): void => {};

  constructor(child: ChildProcessWithoutNullStreams) {
    child.stdout.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    child.stdout.on('end', () => {
      this.#isOver = true;
      this.#wake();
    });
  }

  get held(): Buffer {
    return this.#bytes;
  }

  async #until(isEnough: () => boolean, what: string, timeoutMs = 20_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!isEnough()) {
      const leftMs = deadline - Date.now();
      if (this.#isOver || leftMs <= 0) {
        throw new Error(`${what} did not come, but ${JSON.stringify(this.#bytes.toString())}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async take(count: number): Promise<Buffer> {
    await this.#until(() => this.#bytes.length >= count, `${count} bytes`);
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  /** Everything up to and with `text`. */
  async takeTo(text: string): Promise<string> {
    await this.#until(() => this.#bytes.includes(text), text);
    return (await this.take(this.#bytes.indexOf(text) + text.length)).toString();
  }

  /** Everything that came, once it ends with this; the expression is anchored at the end. */
  async takeToPrompt(
    prompt: RegExp,
  ): Promise<{ readonly before: string; readonly prompt: string }> {
    let found: RegExpExecArray | null = null;
    await this.#until(() => {
      found = prompt.exec(this.#bytes.toString('latin1'));
      return found !== null;
    }, String(prompt));
    const match = found as RegExpExecArray | null;
    const before = (await this.take(match?.index ?? 0)).toString();
    return { before, prompt: (await this.take(match?.[0].length ?? 0)).toString() };
  }

  async end(): Promise<void> {
    const deadline = Date.now() + 20_000;
    while (!this.#isOver) {
      if (Date.now() > deadline) {
        throw new Error('the channel did not end');
      }
      await new Promise<void>((resolve) => setTimeout(resolve, 20));
    }
  }
}

export interface Talk {
  readonly child: ChildProcessWithoutNullStreams;
  readonly incoming: Incoming;
  /** stderr so far. */
  stderr(): string;
  readonly status: Promise<number | null>;
}

/** `ssh -s HOST NAME`, left open. */
export function openSubsystem(server: TestServer, name: string, options: ClientOptions): Talk {
  const withFlag = { ...options, args: ['-s', ...(options.args ?? [])] };
  const child = spawnClient('ssh', sshArguments(server, withFlag, name), options);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin.on('error', () => undefined);
  const status = new Promise<number | null>((resolve) => {
    child.once('close', (code) => resolve(code));
  });
  return { child, incoming: new Incoming(child), stderr: () => stderr, status };
}

/** RFC 6143 §7.1–7.3 without security; `behindVersion`: the version was read already. */
export async function greetRfb({
  child,
  incoming,
}: Talk): Promise<{ width: number; height: number }> {
  const version = (await incoming.take(12)).toString();
  if (version !== 'RFB 003.008\n') {
    throw new Error(`not RFB 3.8, but ${JSON.stringify(version)}`);
  }
  return finishRfb({ child, incoming }, 'RFB 003.008\n');
}

export async function finishRfb(
  { child, incoming }: Pick<Talk, 'child' | 'incoming'>,
  version: string,
): Promise<{ width: number; height: number }> {
  child.stdin.write(version);
  const [count = 0] = await incoming.take(1);
  const types = await incoming.take(count);
  if (!types.includes(1)) {
    throw new Error(`security types ${[...types].join(' ')}`);
  }
  child.stdin.write(Buffer.from([1]));
  const result = (await incoming.take(4)).readUInt32BE();
  if (result !== 0) {
    throw new Error(`security result ${result}`);
  }
  child.stdin.write(Buffer.from([0 /* exclusive: it is shared all the same */]));
  const init = await incoming.take(24);
  await incoming.take(init.readUInt32BE(20));
  return { width: init.readUInt16BE(0), height: init.readUInt16BE(2) };
}

export interface ListedDesktop {
  readonly id: string;
  readonly name: string;
  readonly owner: string;
  readonly state: string;
  readonly engine: string;
  readonly display: number;
  readonly geometry: string;
  readonly depth: number;
  readonly startedAt: string;
  readonly lastUsedAt: string;
  readonly viewers: number;
  readonly viewedFrom: readonly string[];
}

export interface CommandOutcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `sshdesk sessions …`, as root or as the user. */
export function sessionsCommand(args: readonly string[], user?: LabUser): CommandOutcome {
  return sshdeskCommand(['sessions', ...args], user);
}

function sshdeskWords(args: readonly string[], user?: LabUser): readonly [string, ...string[]] {
  const { execPath } = process;
  const command = ['--no-warnings', path.join(checkout, 'src/cli/main.ts'), ...args];
  return user === undefined
    ? [execPath, ...command]
    : [
        'setpriv',
        `--reuid=${user.uid}`,
        `--regid=${user.gid}`,
        '--clear-groups',
        execPath,
        ...command,
      ];
}

function sshdeskOptions(user?: LabUser): { readonly cwd: string; readonly env: NodeJS.ProcessEnv } {
  return { cwd: '/', env: { ...process.env, ...(user === undefined ? {} : { HOME: user.home }) } };
}

/**
 * `sshdesk sessions …`, while this process goes on: what carries a viewer's bytes must not stand still
 * when it asks for something that the viewer has its part in.
 */
export async function runSessions(
  args: readonly string[],
  user?: LabUser,
): Promise<CommandOutcome> {
  const [file, ...rest] = sshdeskWords(['sessions', ...args], user);
  const { code, stdout, stderr } = await run(file, rest, {
    ...sshdeskOptions(user),
    timeoutMs: 40_000,
  });
  return { status: code, stdout, stderr };
}

/** As `listDesktops`, while this process goes on. */
export async function fetchDesktops(user?: LabUser): Promise<readonly ListedDesktop[]> {
  const { status, stdout, stderr } = await runSessions(['list', '--json'], user);
  if (status !== 0) {
    throw new Error(`sessions list: ${status} ${stderr}`);
  }
  return JSON.parse(stdout) as ListedDesktop[];
}

/** `sshdesk …`, as root or as the user. */
export function sshdeskCommand(args: readonly string[], user?: LabUser): CommandOutcome {
  const [file, ...rest] = sshdeskWords(args, user);
  try {
    const stdout = execFileSync(file, rest, {
      encoding: 'utf8',
      stdio: 'pipe',
      timeout: 20_000,
      ...sshdeskOptions(user),
    });
    return { status: 0, stdout, stderr: '' };
  } catch (error) {
    const { status, stdout, stderr } = error as { status: number; stdout: string; stderr: string };
    return { status, stdout, stderr };
  }
}

export function listDesktops(user?: LabUser): readonly ListedDesktop[] {
  const { status, stdout, stderr } = sessionsCommand(['list', '--json'], user);
  if (status !== 0) {
    throw new Error(`sessions list: ${status} ${stderr}`);
  }
  return JSON.parse(stdout) as ListedDesktop[];
}

/** The processes whose environment says that they belong to this desktop. */
export function processesOf(desktop: { readonly id: string }): readonly number[] {
  const entry = `XAUTHORITY=${desktopsDirectory}/${desktop.id}/user/Xauthority`;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => readProcFile(pid, 'environ').split('\0').includes(entry));
}

export function processNamed(desktop: { readonly id: string }, name: string): number {
  const found = processesOf(desktop).find((pid) => readProcFile(pid, 'comm').trim() === name);
  if (found === undefined) {
    throw new Error(
      `no ${name} in ${processesOf(desktop).map((pid) => readProcFile(pid, 'comm'))}`,
    );
  }
  return found;
}

/** For X programs that a test runs on the desktop as its owner would. */
export function desktopEnvironment(desktop: ListedDesktop): NodeJS.ProcessEnv {
  return {
    ...process.env,
    DISPLAY: `:${desktop.display}`,
    XAUTHORITY: `${desktopsDirectory}/${desktop.id}/user/Xauthority`,
  };
}

/** TCP ports on which something listens. */
export function listeningPorts(): readonly number[] {
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/^\s*\d+: \S+:([0-9A-F]{4}) \S+ 0A /gm)].map(
      ([, port]) => Number.parseInt(port as string, 16),
    ),
  );
}

/** Not awaited: ends with the lab at the latest. */
export function forwardPort(
  server: TestServer,
  options: ClientOptions,
  port: number,
): ChildProcessWithoutNullStreams {
  const args = ['-N', '-L', `127.0.0.1:${port}:rfb.sshdesk:5900`, ...(options.args ?? [])];
  return spawn('ssh', [...sshArguments(server, { ...options, args })], { stdio: 'pipe' });
}
