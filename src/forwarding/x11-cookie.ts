/**
 * What an X client says first (X Window System Protocol, "Connection Setup"): only who has the cookie
 * that the client of this session has given gets as far as a channel. The listener is a TCP port that
 * every user of the machine can reach. Runs in: worker.
 */
import { timingSafeEqual } from 'node:crypto';
import type { Admission } from './listener.ts';

const headBytes = 12;
const bigEndian = 0x42;
const littleEndian = 0x6c;
/** The one whose data is the cookie itself; that of others differs each time. */
const checked = 'MIT-MAGIC-COOKIE-1';
const reason = Buffer.from('Wrong authorization for a forwarded display');

const padded = (length: number): number => Math.ceil(length / 4) * 4;

export function judgeSetup(
  bytes: Buffer,
  protocol: Buffer,
  cookie: Buffer,
): 'more' | 'right' | 'wrong' {
  const order = bytes[0];
  if (order !== undefined && order !== bigEndian && order !== littleEndian) {
    return 'wrong';
  }
  if (bytes.length < headBytes) {
    return 'more';
  }
  const at = (offset: number): number =>
    order === bigEndian ? bytes.readUInt16BE(offset) : bytes.readUInt16LE(offset);
  if (at(6) !== protocol.length || at(8) !== cookie.length) {
    return 'wrong';
  }
  const cookieFrom = headBytes + padded(protocol.length);
  if (bytes.length < cookieFrom + padded(cookie.length)) {
    return 'more';
  }
  const isRight =
    bytes.subarray(headBytes, headBytes + protocol.length).equals(protocol) &&
    timingSafeEqual(bytes.subarray(cookieFrom, cookieFrom + cookie.length), cookie);
  return isRight ? 'right' : 'wrong';
}

/** The server's answer "Failed", protocol 11.0, in the order of bytes of who asked. */
export function refusalFor(order: number | undefined): Buffer {
  const reply = Buffer.alloc(8 + padded(reason.length));
  const words = padded(reason.length) / 4;
  reply[1] = reason.length;
  if (order === bigEndian) {
    reply.writeUInt16BE(11, 2);
    reply.writeUInt16BE(words, 6);
  } else {
    reply.writeUInt16LE(11, 2);
    reply.writeUInt16LE(words, 6);
  }
  reason.copy(reply, 8);
  return reply;
}

/** undefined: the authorization is of a kind that cannot be compared; the client's side checks it. */
export function admissionByCookie(authProtocol: Buffer, authData: Buffer): Admission | undefined {
  if (authProtocol.toString('latin1') !== checked) {
    return undefined;
  }
  const cookie = Buffer.from(authData.toString('latin1'), 'hex');
  return {
    judge: (bytes) => judgeSetup(bytes, authProtocol, cookie),
    refusal: (bytes) => refusalFor(bytes[0]),
  };
}
