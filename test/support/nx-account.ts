/** The account `nx` from the side of a test: its key file, and a dialogue with Debian's ssh. Runs in: test. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Incoming, startDesktopServer, type Talk } from './desktop-session.ts';
import type { ServerOptions, TestServer } from './server.ts';
import { type ClientOptions, spawnClient, sshArguments } from './stock-client.ts';

export const nxGreeting = 'HELLO NXSERVER - Version 3.5.0-1 - OSS\nNX> 105 ';
export const nxRefused = '**********\nNX> 404 ERROR: wrong password or login\nNX> 999 Bye\n';

/** `lines`: public keys that open the account. */
export async function startNxServer(
  lines: readonly string[],
  options: ServerOptions & {
    readonly desktops?: readonly string[];
    readonly session?: string;
  } = {},
): Promise<TestServer> {
  const keyFile = path.join(mkdtempSync('/tmp/nx-'), 'authorized_keys');
  writeFileSync(keyFile, `${lines.join('\n')}\n`);
  return startDesktopServer(options.session, {
    ...options,
    config: ['PerSourcePenalties no', ...(options.config ?? [])],
    desktops: ['NXLegacyAccount yes', `NXKeyFile ${keyFile}`, ...(options.desktops ?? [])],
  });
}

/** `ssh nx@HOST`, left open. */
export function openHandshake(server: TestServer, options: ClientOptions): Talk {
  const as = { user: 'nx', ...options };
  const child = spawnClient('ssh', sshArguments(server, as), as);
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

/** All that a client of the time says up to and with its password, in one write. */
export function loginLines(user: string, password: string): string {
  return `hello NXCLIENT - Version 3.2.0\nSET SHELL_MODE SHELL\nSET AUTH_MODE PASSWORD\nlogin\n${user}\n${password}\n`;
}

export function loginEcho(user: string): string {
  return [
    nxGreeting,
    'Hello NXCLIENT - Version 3.2.0\nNX> 134 Accepted protocol: 3.2.0\nNX> 105 ',
    'Set shell_mode: shell\nNX> 105 Set auth_mode: password\nNX> 105 Login\n',
    `NX> 101 User: ${user}\nNX> 102 Password: `,
  ].join('');
}
