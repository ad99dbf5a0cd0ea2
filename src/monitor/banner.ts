/**
 * Banner of sshd_config(5): a file whose text everybody is shown before authentication (RFC 4252
 * §5.4). Read anew for each connection, as sshd does. Runs in: monitor.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

/** A message between the processes has to hold it. */
export const maxBannerBytes = 64 * 1024;

/** Empty: there is nothing to show. `explain` is told why a file is not shown. */
export function readBanner(path: string, explain: (why: string) => void): Buffer {
  let descriptor: number;
  try {
    // A pipe in its place must not hold anybody up.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    explain((error as Error).message);
    return Buffer.alloc(0);
  }
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile() || status.size > maxBannerBytes) {
      explain(status.isFile() ? `more than ${maxBannerBytes} bytes` : 'not a regular file');
      return Buffer.alloc(0);
    }
    const text = Buffer.alloc(status.size);
    return text.subarray(0, readSync(descriptor, text, 0, text.length, 0));
  } catch (error) {
    explain((error as Error).message);
    return Buffer.alloc(0);
  } finally {
    closeSync(descriptor);
  }
}
