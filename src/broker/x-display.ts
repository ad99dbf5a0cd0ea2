/**
 * Numbers of X displays and what authorises a client on one. Runs in: monitor.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  unlinkSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { Writer } from '../ssh/wire/writer.ts';

export const x11Directory = '/tmp/.X11-unix';
/** Above what physical seats, `vncserver` by hand and test servers take. */
const firstDisplay = 100;
const lastDisplay = 4095;

export function displaySocket(directory: string, display: number): string {
  return join(directory, `X${display}`);
}

function displayLock(directory: string, display: number): string {
  return join(dirname(directory), `.X${display}-lock`);
}

/**
 * Made before the first user's X server could make it and own it: 1777, as root root's own. By
 * descriptor, because whoever owns it may put something else in its place meanwhile.
 */
export function prepareX11Directory(directory: string, isRoot: boolean): void {
  mkdirSync(directory, { recursive: true, mode: 0o1777 });
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  const held = openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    if (isRoot && fstatSync(held).uid !== 0) {
      fchownSync(held, 0, 0);
    }
    const { uid, mode } = fstatSync(held);
    if (uid === process.getuid?.() && (mode & 0o7777) !== 0o1777) {
      fchmodSync(held, 0o1777);
    }
  } finally {
    closeSync(held);
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Undefined: none is free. A clash that is seen only later makes the server exit. */
export function freeDisplay(
  directory: string,
  isReserved: (display: number) => boolean,
): number | undefined {
  for (let display = firstDisplay; display <= lastDisplay; display++) {
    const isFree = ![displaySocket(directory, display), displayLock(directory, display)].some(
      isThere,
    );
    if (!isReserved(display) && isFree) {
      return display;
    }
  }
  return undefined;
}

/** A killed server leaves its socket and its lock; only what belongs to this uid is removed. */
export function removeStale(directory: string, display: number, uid: number): void {
  const path = displaySocket(directory, display);
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isSocket() && found.uid === uid) {
    unlinkSync(path);
  }
  const lock = displayLock(directory, display);
  const held = lstatSync(lock, { throwIfNoEntry: false });
  if (held?.isFile() && held.uid === uid) {
    unlinkSync(lock);
  }
}

const familyWild = 0xffff;
export const cookieBytes = 16;

/** One Xauthority entry that fits every display, so that the file can exist before the server. */
export function xauthority(cookie: Buffer): Buffer {
  const name = Buffer.from('MIT-MAGIC-COOKIE-1');
  const uint16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
  const counted = (bytes: Buffer): Buffer => Buffer.concat([uint16(bytes.length), bytes]);
  const nothing = Buffer.alloc(0);
  return new Writer()
    .raw(uint16(familyWild))
    .raw(counted(nothing) /* address */)
    .raw(counted(nothing) /* display number */)
    .raw(counted(name))
    .raw(counted(cookie))
    .done();
}
