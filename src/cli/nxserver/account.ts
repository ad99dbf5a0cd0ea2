/** Whether the machine has an account of this name, as NSS says. Runs in: launcher. */
import { spawnSync } from 'node:child_process';

const patienceMs = 10_000;

export function hasAccount(name: string): boolean {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,255}$/.test(name)) {
    return false;
  }
  const { status } = spawnSync('getent', ['passwd', name], {
    stdio: 'ignore',
    timeout: patienceMs,
  });
  return status === 0;
}
