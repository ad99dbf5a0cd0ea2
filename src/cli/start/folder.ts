/**
 * `~/.local/share/sshdesk`: a host key, a login key, what lets the one know the other, and the
 * configuration to serve with. Keys are made once and kept. Runs in: monitor, user (as the user).
 */
import { lstatSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateKey } from '../../../keys/keygen.ts';
import { loadPrivateKey } from '../../../keys/private-key.ts';
import { publicLine } from '../../../keys/public-key.ts';
import type { InvokingUser } from './invoking-user.ts';

export interface Folder {
  readonly configFile: string;
  readonly loginKey: string;
  readonly knownHosts: string;
  /** Paths of keys that were made now. */
  readonly made: readonly string[];
}

export const address = '127.0.0.1';
export const defaultPort = 2222;
const knownHostsLines = 256;

export function prepareFolder(user: InvokingUser, port: number, isRootMode: boolean): Folder {
  const folder = join(user.home, '.local/share/sshdesk');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const made: string[] = [];
  const key = (name: string, comment: string): { readonly file: string; readonly line: string } => {
    const file = join(folder, name);
    const kept = readPrivate(file);
    if (kept !== undefined) {
      return { file, line: publicLine(loadPrivateKey(kept).publicBlob, comment) };
    }
    const generated = generateKey({ type: 'ed25519' }, comment);
    replace(file, generated.privateFile, 0o600);
    generated.privateFile.fill(0);
    replace(`${file}.pub`, generated.publicFile, 0o644);
    made.push(file);
    return { file, line: generated.publicFile.trimEnd() };
  };
  const host = key('host_key', 'sshdesk host key');
  const login = key('login_key', `sshdesk login key of ${user.name}`);
  const authorizedKeys = join(folder, 'authorized_keys');
  const knownHosts = join(folder, 'known_hosts');
  const suffix = port === defaultPort ? '' : `-${port}`;
  const configFile = join(folder, `sshd_config${suffix}`);
  replace(authorizedKeys, `${login.line}\n`, 0o600);
  replace(knownHosts, knownHostsWith(knownHosts, port, host.line), 0o600);
  replace(
    configFile,
    configuration({
      port,
      user: user.name,
      hostKey: host.file,
      authorizedKeys,
      pidFile: isRootMode ? `/run/sshdesk-start-${port}.pid` : join(folder, `sshdesk${suffix}.pid`),
      isRootMode,
    }),
    0o600,
  );
  return { configFile, loginKey: login.file, knownHosts, made };
}

/** What stands there for other ports stays: servers on them may be running. */
function knownHostsWith(file: string, port: number, hostLine: string): string {
  const host = `[${address}]:${port}`;
  const there = lstatSync(file, { throwIfNoEntry: false })?.isFile() === true;
  const others = (there ? readFileSync(file, 'utf8') : '')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith(`${host} `))
    .slice(-knownHostsLines);
  return `${[...others, `${host} ${hostLine}`].join('\n')}\n`;
}

/** undefined when there is none; a file that others may read is an error, as with ssh. */
function readPrivate(file: string): Buffer | undefined {
  const status = lstatSync(file, { throwIfNoEntry: false });
  if (status === undefined) {
    return undefined;
  }
  if (!status.isFile() || (status.mode & 0o077) !== 0) {
    throw new Error(`${file}: must be a plain file that only its owner may read (chmod 600)`);
  }
  return readFileSync(file);
}

/** Whole or not at all: a daemon or client may be reading it. */
function replace(file: string, content: string | Buffer, mode: number): void {
  const fresh = `${file}.new`;
  writeFileSync(fresh, content, { mode });
  renameSync(fresh, file);
}

interface Configured {
  readonly port: number;
  readonly user: string;
  readonly hostKey: string;
  readonly authorizedKeys: string;
  readonly pidFile: string;
  readonly isRootMode: boolean;
}

const quoted = (path: string) => `"${path.replace(/(["\\])/g, '\\$1')}"`;

function configuration(of: Configured): string {
  // A % in a path is the beginning of a token of sshd_config(5).
  const keysFile = of.authorizedKeys.replaceAll('%', '%%');
  return [
    '# Written by `sshdesk start` at each start; changes are lost. Your own: `sshdesk serve -f FILE`.',
    `Port ${of.port}`,
    `ListenAddress ${address}`,
    `HostKey ${quoted(of.hostKey)}`,
    `AllowUsers ${of.user}`,
    `AuthorizedKeysFile ${quoted(keysFile)} .ssh/authorized_keys`,
    ...(of.isRootMode
      ? ['UsePAM yes']
      : ['UsePAM no', 'PasswordAuthentication no', 'KbdInteractiveAuthentication no']),
    'Subsystem sftp /usr/lib/openssh/sftp-server',
    `PidFile ${quoted(of.pidFile)}`,
    '# All clients have the same address here: who fails would lock the others out.',
    'PerSourcePenalties no',
    '',
  ].join('\n');
}
