/**
 * Debian's ssh, scp and sftp against the server under test, with nothing of the machine's own
 * configuration, agent or known hosts. Runs in: test.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { TestKey } from './lab.ts';
import type { TestServer } from './server.ts';

/** What a client has to know of a server. */
export type Reachable = Pick<TestServer, 'port' | 'knownHosts'>;

export interface ClientOptions {
  readonly user?: string;
  readonly key?: TestKey;
  /** Options before the host name. */
  readonly args?: readonly string[];
  readonly input?: string | Buffer;
  readonly environment?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

export interface ClientOutcome {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
  /** stdout as text. */
  readonly text: string;
}

/** Options that every stock client gets; `-p` is scp's and sftp's `-P`, so the port goes by -o. */
export function clientArguments(server: Reachable, options: ClientOptions): readonly string[] {
  return [
    ...['-F', 'none', '-o', `Port=${server.port}`],
    ...['-o', `UserKnownHostsFile=${server.knownHosts}`, '-o', 'GlobalKnownHostsFile=/dev/null'],
    ...['-o', 'StrictHostKeyChecking=yes', '-o', 'UpdateHostKeys=no'],
    ...['-o', 'IdentitiesOnly=yes', '-o', 'LogLevel=ERROR'],
    ...(options.key === undefined
      ? ['-o', 'IdentityFile=none']
      : ['-i', options.key.file, '-o', 'PreferredAuthentications=publickey']),
  ];
}

export function spawnClient(
  file: 'ssh' | 'scp' | 'sftp',
  args: readonly string[],
  options: ClientOptions = {},
): ChildProcessWithoutNullStreams {
  return spawn(file, args, {
    stdio: 'pipe',
    env: {
      PATH: '/usr/local/bin:/usr/bin:/bin',
      HOME: '/root',
      TERM: 'xterm',
      ...options.environment,
    },
  });
}

/** Waits for the end of a program, bounded; kills it by -9 past that. */
export async function outcomeOf(
  child: ChildProcessWithoutNullStreams,
  options: ClientOptions = {},
): Promise<ClientOutcome> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  child.stdout.resume();
  child.stderr.resume();
  // The program may end without reading all of its input; its outcome tells.
  child.stdin.on('error', () => undefined);
  if (options.input !== undefined) {
    child.stdin.write(options.input);
  }
  child.stdin.end();
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 20_000);
  const [status, signal] = await new Promise<[number | null, NodeJS.Signals | null]>(
    (resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, name) => resolve([code, name]));
    },
  );
  clearTimeout(timer);
  const output = Buffer.concat(stdout);
  return {
    status,
    signal,
    stdout: output,
    stderr: Buffer.concat(stderr).toString('utf8').replaceAll('\r\n', '\n'),
    text: output.toString('utf8'),
  };
}

/** `ssh ARGS user@127.0.0.1 COMMAND…` */
export async function ssh(
  server: Reachable,
  options: ClientOptions,
  ...command: readonly string[]
): Promise<ClientOutcome> {
  const child = spawnClient('ssh', sshArguments(server, options, ...command), options);
  return await outcomeOf(child, options);
}

export function sshArguments(
  server: Reachable,
  options: ClientOptions,
  ...command: readonly string[]
): readonly string[] {
  // ssh takes the first value of an option: a test's own go before.
  return [
    ...(options.args ?? []),
    ...clientArguments(server, options),
    `${options.user ?? 'alice'}@127.0.0.1`,
    ...command,
  ];
}

/** `scp ARGS` or `sftp ARGS`; paths of the server as `remote('/path')`. */
export async function copy(
  file: 'scp' | 'sftp',
  server: TestServer,
  options: ClientOptions,
  ...operands: readonly string[]
): Promise<ClientOutcome> {
  const child = spawnClient(
    file,
    [...(options.args ?? []), ...clientArguments(server, options), ...operands],
    options,
  );
  return await outcomeOf(child, options);
}

export const remote = (file: string, user = 'alice'): string => `${user}@127.0.0.1:${file}`;
