/** A pipe as the leader makes them; Node itself would make a socket pair. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Pipe {
  readonly read: number;
  readonly write: number;
}

/** Both ends block. */
export function makePipe(): Pipe {
  const directory = mkdtempSync(join(tmpdir(), 'pipe-'));
  const path = join(directory, 'fifo');
  execFileSync('mkfifo', [path]);
  // The first end does not wait for a second.
  const opener = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const write = openSync(path, constants.O_WRONLY);
  const read = openSync(path, constants.O_RDONLY);
  closeSync(opener);
  rmSync(directory, { recursive: true });
  return { read, write };
}
