/** Where a daemon's control socket may be: one's own, then the machine's. Runs in: user. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export const machineSocket = '/run/sshdesk/control.sock';

/** True: this user has run a daemon of his own once. */
export function hasOwnDaemon(): boolean {
  return existsSync(join(homedir(), '.local/state/sshdesk/state.db'));
}

/** In the order in which they are tried. */
export function controlSocketPaths(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  uid = process.getuid?.() ?? 0,
): readonly string[] {
  if (uid === 0) {
    return [machineSocket];
  }
  const runtime = environment['XDG_RUNTIME_DIR'];
  const own = [
    ...(runtime === undefined || runtime === '' ? [] : [join(runtime, 'sshdesk')]),
    join(homedir(), '.local/state/sshdesk/run'),
  ].map((directory) => join(directory, 'control.sock'));
  return [...own, machineSocket];
}
