/**
 * Banner of sshd_config(5): a file whose text everybody is shown before authentication (RFC 4252
 * §5.4). Read anew for each connection, as sshd does, and without holding up the others: it may lie
 * on a file system that does not answer. Runs in: monitor.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/** A message between the processes has to hold it. */
export const maxBannerBytes = 64 * 1024;

/** Empty: there is nothing to show. `explain` is told why a file is not shown. */
export async function readBanner(path: string, explain: (why: string) => void): Promise<Buffer> {
  try {
    // A pipe in its place must not hold anybody up.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const status = await file.stat();
    if (!status.isFile()) {
      explain('not a regular file');
      return Buffer.alloc(0);
    }
    const text = Buffer.alloc(maxBannerBytes + 1);
    const { bytesRead } = await file.read(text, 0, text.length, 0);
    if (bytesRead > maxBannerBytes) {
      explain(`more than ${maxBannerBytes} bytes`);
      return Buffer.alloc(0);
    }
    return text.subarray(0, bytesRead);
  } catch (error) {
    explain((error as Error).message);
    return Buffer.alloc(0);
  }
}
