/**
 * Files whose text users are shown: Banner of sshd_config(5) before authentication (RFC 4252 §5.4),
 * /etc/motd, /etc/nologin. Read anew each time, as sshd does, and without holding up the others: they
 * may lie on a file system that does not answer. Runs in: monitor.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/** A message between the processes has to hold it. */
export const maxShownBytes = 64 * 1024;

/** undefined: there is none; empty: there is nothing to show of it. `explain` is told why a file is not shown. */
export async function readShownFile(
  path: string,
  explain: (why: string) => void,
): Promise<Buffer | undefined> {
  try {
    // A pipe in its place must not hold anybody up.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const status = await file.stat();
    if (!status.isFile()) {
      explain('not a regular file');
      return Buffer.alloc(0);
    }
    const text = Buffer.alloc(maxShownBytes + 1);
    const { bytesRead } = await file.read(text, 0, text.length, 0);
    if (bytesRead > maxShownBytes) {
      explain(`more than ${maxShownBytes} bytes`);
      return Buffer.alloc(0);
    }
    return text.subarray(0, bytesRead);
  } catch (error) {
    explain((error as Error).message);
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : Buffer.alloc(0);
  }
}
