/**
 * SOCKS 4, 4a and 5 (RFC 1928) without authentication, as far as a forwarder needs them: CONNECT, to
 * an address or a name. Pure, and bounded: whoever reaches the port may send anything.
 * Runs in: user (client).
 */
import { openFailure } from '../ssh/connection/messages.ts';

export interface SocksTarget {
  readonly host: string;
  readonly port: number;
}

export type SocksStep =
  /** `reply`: goes out at once; `take` is then called again, for those who do not wait for it. */
  | { readonly is: 'more'; readonly reply: Buffer | null }
  /** `used`: bytes of what was given that are SOCKS; what follows is for the target. */
  | { readonly is: 'connect'; readonly target: SocksTarget; readonly used: number }
  /** Nothing is owed to it but this. */
  | { readonly is: 'refused'; readonly reply: Buffer; readonly why: string };

export type SocksOutcome = 'granted' | 'failed' | 'not-allowed';

/** Longer than any request: 255 methods, a name and a user name of 255 bytes. */
export const socksRequestBytes = 1024;
const maxNameBytes = 255;

const nothing = Buffer.alloc(0);
const more: SocksStep = { is: 'more', reply: null };
const commandConnect = 1;
const addressIPv4 = 1;
const addressName = 3;
const addressIPv6 = 4;

/** Reasons of RFC 4254 §5.1 as an outcome. */
export function socksOutcome(refused: number): SocksOutcome {
  return refused === openFailure.administrativelyProhibited ? 'not-allowed' : 'failed';
}

/** One dialogue. `take` is given all bytes so far, from the first one on, whenever more have come. */
export class SocksDialogue {
  #version: 4 | 5 | null = null;
  /** SOCKS 5: bytes of the greeting, once it is answered. */
  #greetingBytes = 0;

  take(bytes: Buffer): SocksStep {
    const step = this.#step(bytes);
    if (step.is === 'more' && bytes.length >= socksRequestBytes) {
      return this.#refuse('a request without end');
    }
    return step;
  }

  /** What the client is told of its target. */
  reply(outcome: SocksOutcome): Buffer {
    if (this.#version === 4) {
      return Buffer.from([0, outcome === 'granted' ? 0x5a : 0x5b, 0, 0, 0, 0, 0, 0]);
    }
    const codes = { granted: 0, failed: 4, 'not-allowed': 2 } as const;
    return socks5Reply(codes[outcome]);
  }

  #step(bytes: Buffer): SocksStep {
    const version = bytes[0];
    if (version === undefined) return more;
    if (version === 4) {
      this.#version = 4;
      return this.#four(bytes);
    }
    if (version !== 5) return this.#refuse('not SOCKS');
    this.#version = 5;
    return this.#greetingBytes === 0 ? this.#greet(bytes) : this.#five(bytes);
  }

  #refuse(why: string, reply: Buffer = this.#version === 4 ? this.reply('failed') : nothing) {
    return { is: 'refused', reply, why } as const;
  }

  /** version, command, port, address, user name NUL, and for 4a a name NUL. */
  #four(bytes: Buffer): SocksStep {
    if (bytes.length < 9) return more;
    const userEnd = bytes.indexOf(0, 8);
    if (userEnd < 0)
      return bytes.length > 8 + maxNameBytes ? this.#refuse('a name too long') : more;
    if (bytes[1] !== commandConnect) return this.#refuse('only CONNECT is served');
    const port = bytes.readUInt16BE(2);
    const address = bytes.subarray(4, 8);
    // 0.0.0.x: the name follows (4a).
    if (address.readUIntBE(0, 3) !== 0 || address[3] === 0) {
      return this.#connect([...address].join('.'), port, userEnd + 1);
    }
    const nameEnd = bytes.indexOf(0, userEnd + 1);
    if (nameEnd < 0) {
      return bytes.length > userEnd + 1 + maxNameBytes ? this.#refuse('a name too long') : more;
    }
    return this.#connect(bytes.toString('latin1', userEnd + 1, nameEnd), port, nameEnd + 1);
  }

  /** version, number of methods, methods: the one without authentication has to be among them. */
  #greet(bytes: Buffer): SocksStep {
    const count = bytes[1];
    if (count === undefined || bytes.length < 2 + count) return more;
    if (!bytes.subarray(2, 2 + count).includes(0)) {
      return this.#refuse('only without authentication', Buffer.from([5, 0xff]));
    }
    this.#greetingBytes = 2 + count;
    return { is: 'more', reply: Buffer.from([5, 0]) };
  }

  /** version, command, reserved, type, address, port. */
  #five(bytes: Buffer): SocksStep {
    const request = bytes.subarray(this.#greetingBytes);
    if (request.length < 5) return more;
    if (request[0] !== 5) return this.#refuse('another version in the request', socks5Reply(1));
    if (request[1] !== commandConnect) {
      return this.#refuse('only CONNECT is served', socks5Reply(7));
    }
    const type = request[3];
    const sizes: Readonly<Record<number, number>> = {
      [addressIPv4]: 4,
      [addressIPv6]: 16,
      [addressName]: 1 + (request[4] ?? 0),
    };
    const size = type === undefined ? undefined : sizes[type];
    if (size === undefined) return this.#refuse('no such type of address', socks5Reply(8));
    if (request.length < 4 + size + 2) return more;
    const address = request.subarray(4, 4 + size);
    const port = request.readUInt16BE(4 + size);
    const host =
      type === addressIPv4
        ? [...address].join('.')
        : type === addressIPv6
          ? ipv6Text(address)
          : address.toString('latin1', 1);
    return this.#connect(host, port, this.#greetingBytes + 4 + size + 2);
  }

  /** What is no name of a host is told to nobody. */
  #connect(host: string, port: number, used: number): SocksStep {
    const isName = /^[\x21-\x7e]{1,255}$/.test(host);
    if (!isName || port === 0) {
      const reply = this.#version === 4 ? this.reply('failed') : socks5Reply(1);
      return this.#refuse('not a host and port', reply);
    }
    return { is: 'connect', target: { host, port }, used };
  }
}

function socks5Reply(code: number): Buffer {
  return Buffer.from([5, code, 0, addressIPv4, 0, 0, 0, 0, 0, 0]);
}

function ipv6Text(address: Buffer): string {
  const words: string[] = [];
  for (let at = 0; at < 16; at += 2) words.push(address.readUInt16BE(at).toString(16));
  return words.join(':');
}
