/**
 * Removes a directory tree in which another user may still be at work, as root. Every step goes
 * through an open directory (/proc/self/fd/N/NAME is openat), so that a component swapped for a
 * symbolic link leads nowhere; names are bytes, never patterns; other file systems are not entered.
 * Asynchronous, because a FUSE mount of the user's may not answer. Runs in: monitor.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, rmdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { unmountDetached } from '../base/mount.native.ts';

const maxDepth = 64;
const maxEntries = 200_000;
const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

interface Removal {
  readonly device: number;
  entriesLeft: number;
}

function within(directory: FileHandle, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${directory.fd}/`), name]);
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

async function empty(directory: FileHandle, depth: number, removal: Removal): Promise<void> {
  if (depth > maxDepth) {
    throw new Error(`deeper than ${maxDepth} directories`);
  }
  // Names of one directory are held at once; they are bounded by what a tmpfs or disk gives a user.
  for (const name of await readdir(`/proc/self/fd/${directory.fd}`, { encoding: 'buffer' })) {
    removal.entriesLeft--;
    if (removal.entriesLeft < 0) {
      throw new Error(`more than ${maxEntries} entries`);
    }
    const path = within(directory, name);
    try {
      await unlink(path);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') {
        continue;
      }
      if (codeOf(error) !== 'EISDIR' && codeOf(error) !== 'EPERM') {
        throw error;
      }
      await removeIn(path, depth + 1, removal);
    }
  }
}

async function removeIn(path: Buffer, depth: number, removal: Removal): Promise<void> {
  const directory = await open(path, flags);
  try {
    if ((await directory.stat()).dev !== removal.device) {
      throw new Error('another file system is mounted in it');
    }
    await empty(directory, depth, removal);
  } finally {
    await directory.close();
  }
  await rmdir(path);
}

/** Where a leader has mounted a file system of bounded size for the user's part. */
const userPart = 'user';

/** No such directory is success. The parent must belong to root (rootless: to the own user). */
export async function removeDirectory(path: string): Promise<void> {
  if (process.getuid?.() === 0) {
    unmountDetached(join(path, userPart));
  }
  let parent: FileHandle;
  try {
    parent = await open(dirname(path), flags);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') {
      return;
    }
    throw error;
  }
  try {
    const removal = { device: (await parent.stat()).dev, entriesLeft: maxEntries };
    await removeIn(within(parent, Buffer.from(path.slice(dirname(path).length + 1))), 0, removal);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') {
      throw error;
    }
  } finally {
    await parent.close();
  }
}
