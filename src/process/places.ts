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
  readonly desktopsDirectory: string;
  readonly storeFile: string;
}

export function placesFor(isRoot: boolean, environment: NodeJS.ProcessEnv): Places {
  const state = join(homedir(), '.local/state/sshdesk');
  const session = environment.XDG_RUNTIME_DIR;
  const runtimeDirectory = isRoot
    ? '/run/sshdesk'
    : session !== undefined && existsSync(session)
      ? join(session, 'sshdesk')
      : join(state, 'run');
  return {
    runtimeDirectory,
    controlSocket: join(runtimeDirectory, 'control.sock'),
    desktopsSocket: join(runtimeDirectory, 'desktops.sock'),
    desktopsDirectory: join(runtimeDirectory, 'desktops'),
    storeFile: isRoot ? '/var/lib/sshdesk/state.db' : join(state, 'state.db'),
  };
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
