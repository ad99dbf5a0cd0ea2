/**
 * Processes that outlived a desktop's leader (it crashed or was killed): recognised by the owner's
 * uid and the exact XAUTHORITY of the desktop in their environment, which only this owner's own
 * processes can carry. Runs in: monitor.
 */
import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';

export interface LeftoverPort {
  /** Pids of the uid whose environment has this XAUTHORITY. */
  find(uid: number, xauthorityPath: string): Promise<readonly number[]>;
  /** Nothing, if by now the pid is another uid's. */
  kill(pid: number, uid: number, signal: 'SIGTERM' | 'SIGKILL'): void;
}

/** Real, effective and saved. */
function isOfUid(status: string, uid: number): boolean {
  const uids = /^Uid:\s+(\d+)\s+(\d+)\s+(\d+)/m.exec(status)?.slice(1).map(Number);
  return uids?.every((one) => one === uid) === true;
}

async function isOf(pid: string, uid: number, entry: Buffer): Promise<boolean> {
  try {
    if (!isOfUid(await readFile(`/proc/${pid}/status`, 'latin1'), uid)) {
      return false;
    }
    const environment = Buffer.concat([
      Buffer.from([0]),
      await readFile(`/proc/${pid}/environ`),
      Buffer.from([0]),
    ]);
    return environment.includes(entry);
  } catch {
    // It ended while we looked, or hides its environment from us: not one that we can tell.
    return false;
  }
}

export const processLeftovers: LeftoverPort = {
  async find(uid, xauthorityPath) {
    const entry = Buffer.from(`\0XAUTHORITY=${xauthorityPath}\0`);
    const found: number[] = [];
    for (const pid of await readdir('/proc')) {
      if (/^\d+$/.test(pid) && Number(pid) !== process.pid && (await isOf(pid, uid, entry))) {
        found.push(Number(pid));
      }
    }
    return found;
  },
  kill(pid, uid, signal) {
    try {
      // The search took its time, and a user can wear out pids: looked at again, without a turn between.
      if (isOfUid(readFileSync(`/proc/${pid}/status`, 'latin1'), uid)) {
        process.kill(pid, signal);
      }
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : '';
      if (code !== 'ESRCH' && code !== 'ENOENT') {
        throw error;
      }
    }
  },
};

/** SIGTERM, then SIGKILL to what is still there, looked up anew each time. */
export async function endLeftovers(
  port: LeftoverPort,
  uid: number,
  xauthorityPath: string,
  sleepMs: (ms: number) => Promise<void>,
): Promise<void> {
  for (const [signal, waitMs] of [
    ['SIGTERM', 500],
    ['SIGKILL', 200],
    ['SIGKILL', 0],
  ] as const) {
    const pids = await port.find(uid, xauthorityPath);
    if (pids.length === 0) {
      return;
    }
    for (const pid of pids) {
      port.kill(pid, uid, signal);
    }
    await sleepMs(waitMs);
  }
}
