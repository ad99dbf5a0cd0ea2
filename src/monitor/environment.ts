/**
 * The environment of a session, in sshd's order (session.c's do_setup_env; sshd(8) LOGIN PROCESS).
 * Later values win. Values are bytes, of whatever encoding. Pure.
 */
import type { Endpoints } from './connection.ts';

/** Text of the configuration or of NSS, or the bytes of somebody else. */
export type Value = string | Buffer;
type Variables = readonly (readonly [name: string, value: Value])[];

export interface EnvironmentSources {
  /** AcceptEnv'd names of the client, already filtered. */
  readonly client: Variables;
  readonly account: {
    readonly user: string;
    readonly home: string;
    readonly shell: string;
    readonly uid: number;
  };
  readonly usePam: boolean;
  readonly timeZone: string | undefined;
  readonly term: Buffer | undefined;
  /** environment= of the key, only with PermitUserEnvironment. */
  readonly key: Variables;
  /** ~/.ssh/environment, only with PermitUserEnvironment. */
  readonly userFile: Variables;
  /** `NAME=value` lines of pam_getenvlist. */
  readonly pam: readonly Buffer[];
  /** SetEnv of the configuration. */
  readonly set: Variables;
  readonly endpoints: Endpoints;
  readonly originalCommand: Buffer | undefined;
  /** DISPLAY of X11 forwarding. */
  readonly display?: string | undefined;
  /** The socket of the forwarded agent. */
  readonly agentSocket?: string | undefined;
  /** The file of ExposeAuthInfo. */
  readonly authInfoFile?: string | undefined;
}

/** Debian's built-in default paths. */
const userPath = '/usr/local/bin:/usr/bin:/bin:/usr/games';
const rootPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const equals = 0x3d;

function splitAssignment(line: Buffer): readonly [string, Buffer] | undefined {
  const at = line.indexOf(equals);
  return at > 0 ? [line.toString('latin1', 0, at), line.subarray(at + 1)] : undefined;
}

/** sshd gives up on the session where there are more. */
const maxUserLines = 1000;

export interface UserEnvironment {
  readonly variables: readonly (readonly [name: string, value: Buffer])[];
  /** Numbers, from 1, of the lines that say nothing; the user is told. */
  readonly badLines: readonly number[];
  readonly isTooLong: boolean;
}

/** Lines `NAME=value`; `#` comments and empty ones are skipped. */
export function parseUserEnvironmentFile(file: Buffer): UserEnvironment {
  const variables: (readonly [string, Buffer])[] = [];
  const badLines: number[] = [];
  const lines = file.toString('latin1').split('\n');
  if (lines.at(-1) === '') {
    lines.pop();
  }
  for (const [index, raw] of lines.slice(0, maxUserLines).entries()) {
    // What stands behind a NUL is not seen by sshd either.
    const line = (raw.split('\0')[0] as string).replace(/^[ \t]+/, '');
    if (line === '' || line.startsWith('#')) {
      continue;
    }
    const pair = splitAssignment(Buffer.from(line, 'latin1'));
    if (pair !== undefined) {
      variables.push(pair);
    } else if (!line.startsWith('=')) {
      badLines.push(index + 1);
    }
  }
  return { variables, badLines, isTooLong: lines.length > maxUserLines };
}

/** sshd keeps these to itself: PAM may not set them for the user. */
function isReserved(name: string): boolean {
  return name.startsWith('SSH_AUTH_INFO') || name.startsWith('SSH_CONNECTION');
}

/** `SSH_TTY=` is left empty with a terminal: the leader, which opens it, fills the path in. */
export function buildEnvironment(sources: EnvironmentSources): readonly Buffer[] {
  const { account, endpoints } = sources;
  const environment = new Map<string, Value>(sources.client);
  const put = (name: string, value: Value | undefined): void => {
    if (value !== undefined) {
      environment.set(name, value);
    }
  };
  put('USER', account.user);
  put('LOGNAME', account.user);
  put('HOME', account.home);
  put('PATH', account.uid === 0 ? rootPath : userPath);
  put('MAIL', sources.usePam ? undefined : `/var/mail/${account.user}`);
  put('SHELL', account.shell);
  put('TZ', sources.timeZone);
  put('TERM', sources.term);
  put('DISPLAY', sources.display);
  put('SSH_AUTH_SOCK', sources.agentSocket);
  for (const [name, value] of [...sources.key, ...sources.userFile]) {
    put(name, value);
  }
  for (const line of sources.pam) {
    const pair = splitAssignment(line);
    if (pair !== undefined && !isReserved(pair[0])) {
      put(...pair);
    }
  }
  for (const [name, value] of sources.set) {
    put(name, value);
  }
  const { remoteAddress, remotePort, localAddress, localPort } = endpoints;
  put('SSH_CLIENT', `${remoteAddress} ${remotePort} ${localPort}`);
  put('SSH_CONNECTION', `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`);
  put('SSH_USER_AUTH', sources.authInfoFile);
  put('SSH_TTY', sources.term === undefined ? undefined : '');
  put('SSH_ORIGINAL_COMMAND', sources.originalCommand);
  return [...environment].map(([name, value]) =>
    Buffer.concat([Buffer.from(`${name}=`, 'latin1'), Buffer.from(value as Buffer)]),
  );
}
