/** Mounts that another process has left behind. Runs in: monitor. */
import { addon, checked, errno } from './addon.native.ts';

/**
 * Whatever is mounted on `path` is gone for everybody who looks it up from now on. False: nothing is,
 * or there is no such path. A symbolic link at its end is not followed.
 */
export function unmountDetached(path: string): boolean {
  const result = addon.unmountDetached(path);
  if (result === -errno.EINVAL || result === -errno.ENOENT) {
    return false;
  }
  checked(`umount ${path}`, result);
  return true;
}
