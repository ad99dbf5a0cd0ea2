/**
 * What the programs of a desktop get: a complete environment and the command of its session. Nothing
 * in it comes from a client. Runs in: monitor.
 */
import { accessSync, constants, realpathSync } from 'node:fs';
import { basename } from 'node:path';

export interface SessionAccount {
  readonly user: string;
  readonly uid: number;
  readonly home: string;
  readonly shell: string;
}

const userPath = '/usr/local/bin:/usr/bin:/bin:/usr/games';
const rootPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const maxEntries = 1024;
/** Of a session that this desktop is not; a bus or display of a login must not be mixed in. */
const neverFromPam = new Set([
  'DISPLAY',
  'XAUTHORITY',
  'DBUS_SESSION_BUS_ADDRESS',
  'WAYLAND_DISPLAY',
  'LD_PRELOAD',
  'LD_LIBRARY_PATH',
]);

/** sun_path less its NUL: nobody can connect to a longer one. */
const maxSocketPathBytes = 107;

function agentSocket(userDirectory: string): string {
  return `${userDirectory}/agent`;
}

/** Without root the directory may be deep below a home. */
export function hasPlaceForAgent(userDirectory: string): boolean {
  return Buffer.byteLength(agentSocket(userDirectory)) <= maxSocketPathBytes;
}

/** `pamEnvironment`: `NAME=value`, as pam_getenvlist gave it. */
export function desktopEnvironment(
  account: SessionAccount,
  place: {
    readonly display: number;
    readonly userDirectory: string;
    /** A login may bring tickets, now or when it comes back. */
    readonly hasPlaceForTickets: boolean;
    /** Of those who come back; the desktop has it whether or not the first one forwards an agent. */
    readonly hasAgent: boolean;
  },
  pamEnvironment: readonly Buffer[],
): readonly Buffer[] {
  const entries = new Map<string, string>([
    ['PATH', account.uid === 0 ? rootPath : userPath],
    ['XDG_RUNTIME_DIR', `${place.userDirectory}/run`],
  ]);
  for (const bytes of pamEnvironment.slice(0, maxEntries)) {
    const entry = bytes.toString('latin1');
    const equals = entry.indexOf('=');
    const name = entry.slice(0, equals);
    if (equals > 0 && !neverFromPam.has(name)) {
      entries.set(name, entry.slice(equals + 1));
    }
  }
  const own: readonly (readonly [string, string])[] = [
    ['DISPLAY', `:${place.display}`],
    ['XAUTHORITY', `${place.userDirectory}/Xauthority`],
    ['HOME', account.home],
    ['USER', account.user],
    ['LOGNAME', account.user],
    ['SHELL', account.shell],
    ['XDG_SESSION_TYPE', 'x11'],
    ...(place.hasPlaceForTickets
      ? ([['KRB5CCNAME', `FILE:${place.userDirectory}/tickets`]] as const)
      : []),
    ...(place.hasAgent ? ([['SSH_AUTH_SOCK', agentSocket(place.userDirectory)]] as const) : []),
  ];
  for (const [name, value] of own) {
    entries.set(name, Buffer.from(value, 'utf8').toString('latin1'));
  }
  return [...entries].map(([name, value]) => Buffer.from(`${name}=${value}`, 'latin1'));
}

/** A word that every shell a user may have reads back as it is. */
export function quoteForShell(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** argv of the session: through the user's shell, with a D-Bus session of its own. */
export function sessionArguments(shell: string, command: string): readonly [string, ...string[]] {
  return [shell, '-c', `exec dbus-run-session -- /bin/sh -c ${quoteForShell(command)}`];
}

const defaultSessionManager = '/usr/bin/x-session-manager';
const plainSession = 'xterm & exec icewm-session';

/**
 * The configured command, else the machine's session manager, else a plain window manager with a
 * terminal. icewm registers itself as session manager, but brings no terminal.
 */
export function sessionCommand(
  configured: string,
  sessionManager: string = defaultSessionManager,
): string {
  if (configured !== '') {
    return configured;
  }
  try {
    accessSync(sessionManager, constants.X_OK);
    if (basename(realpathSync(sessionManager)) !== 'icewm-session') {
      return `exec ${sessionManager}`;
    }
  } catch {
    // There is none: the plain session is what remains.
  }
  return plainSession;
}
