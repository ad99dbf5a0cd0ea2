/**
 * `sshdesk connect` in the place of Debian's ssh (stock-client.ts), against the server under test.
 * Runs in: test.
 */
import { spawn } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Child } from './child.ts';
import { checkout } from './lab.ts';
import {
  type ClientOptions,
  type ClientOutcome,
  outcomeOf,
  type Reachable,
} from './stock-client.ts';

const program = [
  '--disable-warning=ExperimentalWarning',
  path.join(checkout, 'src/cli/main.ts'),
  'connect',
];

function environmentOf(options: ClientOptions): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH,
    HOME: '/root',
    TERM: 'xterm',
    ...options.environment,
  };
}

/** Options of the server and the key; nothing of the machine's own configuration. */
function reachArguments(server: Reachable, options: ClientOptions): readonly string[] {
  return [
    ...(options.args?.includes('-F') === true ? [] : ['-F', 'none']),
    // A program that starts this one may say -p and -l again: they go before.
    ...['--batch', '-o', `Port=${server.port}`, '-o', `User=${options.user ?? 'alice'}`],
    ...['-o', `UserKnownHostsFile=${server.knownHosts}`, '-o', 'GlobalKnownHostsFile=none'],
    ...['-o', 'StrictHostKeyChecking=yes', '-o', 'UpdateHostKeys=no'],
    ...['-o', 'IdentitiesOnly=yes'],
    ...(options.key === undefined ? [] : ['-i', options.key.file]),
  ];
}

/** Of node: the program, options, host and command. */
export function connectArguments(
  server: Reachable,
  options: ClientOptions,
  ...command: readonly string[]
): readonly string[] {
  return [
    ...program,
    ...(options.args ?? []),
    ...reachArguments(server, options),
    '127.0.0.1',
    ...command,
  ];
}

export function spawnConnect(
  server: Reachable,
  options: ClientOptions,
  ...command: readonly string[]
): Child {
  const args = connectArguments(server, options, ...command);
  return new Child(process.execPath, args, { env: environmentOf(options) });
}

export async function connectTo(
  server: Reachable,
  options: ClientOptions,
  ...command: readonly string[]
): Promise<ClientOutcome> {
  const child = spawn(process.execPath, connectArguments(server, options, ...command), {
    stdio: 'pipe',
    env: environmentOf(options),
  });
  return await outcomeOf(child, options);
}

/** A program that takes what ssh takes, for those that start one: `rsync -e FILE`. */
export function connectScript(file: string, server: Reachable, options: ClientOptions): string {
  const words = [process.execPath, ...program, ...reachArguments(server, options)];
  const quoted = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  writeFileSync(file, `#!/bin/sh\nexec ${quoted} "$@"\n`);
  chmodSync(file, 0o755);
  return file;
}

/** The port that `-L 0:…` or `-R 0:…` has got. */
export function allocatedPort(child: Child, kind: 'local' | 'remote' | 'dynamic'): number | null {
  const [, port] = new RegExp(`Allocated port (\\d+) for ${kind} forward`).exec(child.stderr) ?? [];
  return port === undefined ? null : Number(port);
}
