/** Where the daemon keeps what it keeps (ARCHITECTURE: as root, rootless). Runs in: monitor, user. */
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { existsSync } from 'node:fs';

export interface Places {
  /** Sockets, lock and desktops; gone after a reboot. */
  readonly runtimeDirectory: string;
  readonly controlSocket: string;
  /** For other monitors of the same uid. */
  readonly desktopsSocket: string;
  /** For processes of users: `sshdesk subsystem` under another sshd. */
  readonly localSocket: string;
  readonly desktopsDirectory: string;
  readonly storeFile: string;
  /** Logins, for `sshdesk last`. */
  readonly loginsFile: string;
  /** Users and passwords of `sshdesk nxserver`. */
  readonly nxFile: string;
}

function placesOf(runtimeDirectory: string, storeFile: string): Places {
  return {
    runtimeDirectory,
    controlSocket: join(runtimeDirectory, 'control.sock'),
    desktopsSocket: join(runtimeDirectory, 'desktops.sock'),
    localSocket: join(runtimeDirectory, 'local.sock'),
    desktopsDirectory: join(runtimeDirectory, 'desktops'),
    storeFile,
    loginsFile: join(dirname(storeFile), 'logins.db'),
    nxFile: join(dirname(storeFile), 'nx.db'),
  };
}

export function placesFor(isRoot: boolean, environment: NodeJS.ProcessEnv): Places {
  if (isRoot) {
    return placesOf('/run/sshdesk', '/var/lib/sshdesk/state.db');
  }
  const atHome = placesIn(homedir());
  const session = environment.XDG_RUNTIME_DIR;
  return session !== undefined && existsSync(session)
    ? placesOf(join(session, 'sshdesk'), atHome.storeFile)
    : atHome;
}

/**
 * Below a home alone: what lies in XDG_RUNTIME_DIR goes with the last login, and without a daemon
 * desktops are to be there at the next one.
 */
export function placesIn(home: string): Places {
  const state = join(home, '.local/state/sshdesk');
  return placesOf(join(state, 'run'), join(state, 'state.db'));
}

/** The checkout or package that this file is part of. */
export const installDirectory = resolve(import.meta.dirname, '../..');
export const leaderExecutable = join(installDirectory, 'build/Release/sshdesk-leader');

/** What a worker's root must hold to run at all. */
export function workerReadOnly(nodeExecutable: string): readonly string[] {
  const nodeDirectory = dirname(nodeExecutable);
  return nodeDirectory.startsWith(`${installDirectory}/`)
    ? [installDirectory]
    : [installDirectory, nodeDirectory];
}
