/**
 * The environment of a session, in sshd's order (session.c's do_setup_env; sshd(8) LOGIN PROCESS).
 * Later values win. Pure.
 */
import type { Endpoints } from './connection.ts';

export interface EnvironmentSources {
  /** AcceptEnv'd names of the client, already filtered. */
  readonly client: readonly (readonly [string, string])[];
  readonly account: {
    readonly user: string;
    readonly home: string;
    readonly shell: string;
    readonly uid: number;
  };
  readonly usePam: boolean;
  readonly timeZone: string | undefined;
  readonly term: string | undefined;
  /** environment= of the key, only with PermitUserEnvironment. */
  readonly key: readonly (readonly [string, string])[];
  /** ~/.ssh/environment, only with PermitUserEnvironment. */
  readonly userFile: readonly (readonly [string, string])[];
  /** `NAME=value` lines of pam_getenvlist. */
  readonly pam: readonly string[];
  /** SetEnv of the configuration. */
  readonly set: readonly (readonly [string, string])[];
  readonly endpoints: Endpoints;
  readonly originalCommand: string | undefined;
  /** DISPLAY of X11 forwarding. */
  readonly display?: string | undefined;
  /** The socket of the forwarded agent. */
  readonly agentSocket?: string | undefined;
}

/** Debian's built-in default paths. */
const userPath = '/usr/local/bin:/usr/bin:/bin:/usr/games';
const rootPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function splitAssignment(line: string): readonly [string, string] | undefined {
  const at = line.indexOf('=');
  return at > 0 ? [line.slice(0, at), line.slice(at + 1)] : undefined;
}

/** Lines `NAME=value`; `#` comments and what has no `=` are skipped, as sshd does. */
export function parseUserEnvironmentFile(text: string): readonly (readonly [string, string])[] {
  const found: (readonly [string, string])[] = [];
  for (const raw of text.split('\n').slice(0, 1000)) {
    const line = raw.trimStart();
    const pair = line.startsWith('#') ? undefined : splitAssignment(line);
    if (pair !== undefined) {
      found.push(pair);
    }
  }
  return found;
}

/** sshd keeps these to itself: PAM may not set them for the user. */
function isReserved(name: string): boolean {
  return name.startsWith('SSH_AUTH_INFO') || name.startsWith('SSH_CONNECTION');
}

/** `SSH_TTY=` is left empty with a terminal: the leader, which opens it, fills the path in. */
export function buildEnvironment(sources: EnvironmentSources): readonly string[] {
  const { account, endpoints } = sources;
  const environment = new Map<string, string>(sources.client);
  environment.set('USER', account.user);
  environment.set('LOGNAME', account.user);
  environment.set('HOME', account.home);
  environment.set('PATH', account.uid === 0 ? rootPath : userPath);
  if (!sources.usePam) {
    environment.set('MAIL', `/var/mail/${account.user}`);
  }
  environment.set('SHELL', account.shell);
  if (sources.timeZone !== undefined) {
    environment.set('TZ', sources.timeZone);
  }
  if (sources.term !== undefined) {
    environment.set('TERM', sources.term);
  }
  if (sources.display !== undefined) {
    environment.set('DISPLAY', sources.display);
  }
  if (sources.agentSocket !== undefined) {
    environment.set('SSH_AUTH_SOCK', sources.agentSocket);
  }
  for (const [name, value] of [...sources.key, ...sources.userFile]) {
    environment.set(name, value);
  }
  for (const line of sources.pam) {
    const pair = splitAssignment(line);
    if (pair !== undefined && !isReserved(pair[0])) {
      environment.set(...pair);
    }
  }
  for (const [name, value] of sources.set) {
    environment.set(name, value);
  }
  const { remoteAddress, remotePort, localAddress, localPort } = endpoints;
  environment.set('SSH_CLIENT', `${remoteAddress} ${remotePort} ${localPort}`);
  environment.set('SSH_CONNECTION', `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`);
  if (sources.term !== undefined) {
    environment.set('SSH_TTY', '');
  }
  if (sources.originalCommand !== undefined) {
    environment.set('SSH_ORIGINAL_COMMAND', sources.originalCommand);
  }
  return [...environment].map(([name, value]) => `${name}=${value}`);
}
