/**
 * The time of a KDC: a request (RFC 4120 §5.4.1) for an encryption that nobody has is answered with
 * an error, and every error carries the server's time (§5.9.1). Nothing secret goes either way.
 * Runs in: user.
 */
import { createSocket } from 'node:dgram';

const patienceMs = 2000;
const tags = {
  integer: 0x02,
  bits: 0x03,
  sequence: 0x30,
  generalString: 0x1b,
  generalizedTime: 0x18,
  asReq: 0x6a,
  krbError: 0x7e,
  context: 0xa0,
} as const;

function tlv(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const { length } = body;
  const head =
    length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...head]), body]);
}
const field = (number: number, value: Buffer): Buffer => tlv(tags.context + number, value);
const small = (value: number): Buffer => tlv(tags.integer, Buffer.from([value]));
const text = (tag: number, value: string): Buffer => tlv(tag, Buffer.from(value, 'latin1'));

function principal(type: number, words: readonly string[]): Buffer {
  const strings = tlv(tags.sequence, ...words.map((word) => text(tags.generalString, word)));
  return tlv(tags.sequence, field(0, small(type)), field(1, strings));
}

function request(realm: string, host: string): Buffer {
  const body = tlv(
    tags.sequence,
    field(0, tlv(tags.bits, Buffer.alloc(5))),
    field(1, principal(3, ['host', host])),
    field(2, text(tags.generalString, realm)),
    field(3, principal(2, ['krbtgt', realm])),
    field(5, text(tags.generalizedTime, '20370913024805Z')),
    field(7, small(1)),
    field(8, tlv(tags.sequence, small(0))),
  );
  return tlv(
    tags.asReq,
    tlv(tags.sequence, field(1, small(5)), field(2, small(10)), field(4, body)),
  );
}

interface Value {
  readonly tag: number;
  readonly body: Buffer;
  readonly rest: Buffer;
}

/** Undefined: cut off, or longer than a datagram can be. */
function read(bytes: Buffer): Value | undefined {
  const [tag, first] = bytes;
  if (tag === undefined || first === undefined) return undefined;
  const count = first < 0x80 ? 0 : first & 0x7f;
  if (count > 2 || bytes.length < 2 + count) return undefined;
  const length = count === 0 ? first : bytes.readUIntBE(2, count);
  const from = 2 + count;
  if (bytes.length < from + length) return undefined;
  return { tag, body: bytes.subarray(from, from + length), rest: bytes.subarray(from + length) };
}

/** The `stime` of a KRB-ERROR; undefined: it is none. */
export function timeOfError(answer: Buffer): Date | undefined {
  const outer = read(answer);
  const sequence = outer?.tag === tags.krbError ? read(outer.body) : undefined;
  let left = sequence?.tag === tags.sequence ? sequence.body : Buffer.alloc(0);
  for (let one = read(left); one !== undefined; one = read(left)) {
    if (one.tag === tags.context + 4) {
      const time = read(one.body)?.body.toString('latin1') ?? '';
      const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(time);
      if (parts === null) return undefined;
      const [year = 0, month = 1, ...rest] = parts.slice(1).map(Number);
      return new Date(Date.UTC(year, month - 1, ...(rest as [number, number, number, number])));
    }
    left = one.rest;
  }
  return undefined;
}

export interface Kdc {
  readonly host: string;
  readonly port: number;
}

/** Undefined: no answer in time, or one without a time. */
export async function timeOfKdc(kdc: Kdc, realm: string, host: string): Promise<Date | undefined> {
  const socket = createSocket(kdc.host.includes(':') ? 'udp6' : 'udp4');
  try {
    return await new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), patienceMs);
      const settle = (time: Date | undefined): void => {
        clearTimeout(timer);
        resolve(time);
      };
      socket.on('error', () => settle(undefined));
      socket.on('message', (answer) => settle(timeOfError(answer)));
      socket.connect(kdc.port, kdc.host, () => socket.send(request(realm, host)));
    });
  } finally {
    socket.close();
  }
}
