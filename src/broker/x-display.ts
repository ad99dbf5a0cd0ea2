/**
 * Numbers of X displays and what authorises a client on one. Runs in: monitor.
 */
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Writer } from '../ssh/wire/writer.ts';

export const x11Directory = '/tmp/.X11-unix';
/** Above what physical seats, `vncserver` by hand and test servers take. */
const firstDisplay = 100;
const lastDisplay = 4095;

export function displaySocket(directory: string, display: number): string {
  return join(directory, `X${display}`);
}

/**
 * Made before the first user's X server could make it and own it. As root 1777; an existing one is
 * left alone unless it is root's own with other modes.
 */
export function prepareX11Directory(directory: string, isRoot: boolean): void {
  mkdirSync(directory, { recursive: true, mode: 0o1777 });
  const found = lstatSync(directory);
  if (!found.isDirectory()) {
    throw new Error(`${directory} is not a directory`);
  }
  if (isRoot && found.uid === 0 && (found.mode & 0o7777) !== 0o1777) {
    chmodSync(directory, 0o1777);
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
    const lock = join(dirname(directory), `.X${display}-lock`);
    if (!isReserved(display) && !isThere(displaySocket(directory, display)) && !isThere(lock)) {
      return display;
    }
  }
  return undefined;
}

/** A killed server leaves its socket; only one that belongs to this uid is removed. */
export function removeStaleSocket(directory: string, display: number, uid: number): void {
  const path = displaySocket(directory, display);
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isSocket() && found.uid === uid) {
    unlinkSync(path);
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
