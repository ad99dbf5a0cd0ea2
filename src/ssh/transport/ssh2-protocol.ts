/**
 * The modules of the npm package ssh2 that engine.ts stands on, a copy of its own in this process,
 * with sshd's bound on a packet in place of the package's 35,000 bytes: scripts send commands of
 * 100,000 bytes in one packet, and tickets of Windows domains have up to 64 KiB. Runs in: worker.
 *
 * The bound is a constant of `crypto.js`, so that file is compiled with the edits below; each is
 * looked for, and where one does not fit nothing is served.
 */
import { createRequire } from 'node:module';
import { loadEdited } from '../../base/edited-modules.ts';
import { ConfigError } from '../../base/errors.ts';
import { cipherAlgorithms } from '../wire/algorithms.ts';

export const pinnedVersion = '1.17.0';
/** packet_length (RFC 4253 §6) at most: PACKET_MAX_SIZE of OpenSSH. */
export const largestPacketBytes = 256 * 1024;
/** Reserved when a length is announced: a packet of bulk data (32 KiB) is never moved. */
export const reservedPacketBytes = 36 * 1024;

interface Edit {
  readonly text: string;
  readonly by: string;
  readonly times: number;
}

const edits: readonly Edit[] = [
  {
    text: 'const MAX_PACKET_SIZE = 35000;',
    by: `const MAX_PACKET_SIZE = ${largestPacketBytes};`,
    times: 1,
  },
  // AES-GCM counts its tag and the length itself, which nobody else does.
  { text: '(this._len + 20) > MAX_PACKET_SIZE', by: 'this._len > MAX_PACKET_SIZE', times: 2 },
  // Of the packet, what has come and a little: `makeRoom` has the rest.
  {
    text: 'Buffer.allocUnsafe(this._len)',
    by: `Buffer.allocUnsafe(Math.min(this._len, ${reservedPacketBytes} + dataLen - p))`,
    times: 9,
  },
];

/** The package's `crypto.js` with our bounds; throws ConfigError when it is another file. */
export function editedSource(source: string): string {
  return edits.reduce((edited, { text, by, times }) => {
    const found = edited.split(text).length - 1;
    if (found !== times) {
      throw new ConfigError(
        `ssh2: lib/protocol/crypto.js has "${text}" ${found} times, not ${times}: ${pinnedVersion} is needed; install it with npm ci`,
      );
    }
    return edited.replaceAll(text, by);
  }, source);
}

export interface CipherInfo {
  readonly keyLen: number;
  readonly ivLen: number;
  readonly blockLen: number;
  readonly authLen: number;
}

export interface MacInfo {
  readonly len: number;
  readonly isETM: boolean;
}

export interface Cipher {
  outSeqno: number;
  encrypt(packet: Buffer): void;
}

/** What the decipher is told: undefined goes on, false means it was replaced, Infinity stops. */
export type DecipherAnswer = undefined | false | number;

export interface Decipher {
  inSeqno: number;
  _onPayload: (payload: Buffer) => DecipherAnswer;
  decrypt(chunk: Buffer, from: number, to: number): DecipherAnswer;
  /** packet_length of the packet that is not whole yet. */
  _len: number;
  /** That packet; it may be a view into the chunk, and shorter than `_len`. */
  _packet: Uint8Array | null;
  /** How much of it has come; without keys the other name. */
  _pktLen?: number;
  _packetPos?: number;
}

interface RecordModule {
  readonly bindingAvailable: boolean;
  readonly CIPHER_INFO: Readonly<Record<string, CipherInfo>>;
  readonly MAC_INFO: Readonly<Record<string, MacInfo>>;
  readonly NullDecipher: new (
    sequence: number,
    onPayload: (payload: Buffer) => DecipherAnswer,
  ) => Decipher;
  createCipher(config: object): Cipher & {
    allocPacket(payloadBytes: number): Buffer;
    free(): void;
  };
  createDecipher(config: object): Decipher;
}

const load = createRequire(import.meta.url);
const folder = 'ssh2/lib/protocol';
const [recordModule, Protocol, handlers, zlib] = loadEdited(
  { path: load.resolve(`${folder}/crypto.js`), edit: editedSource },
  ['Protocol.js', 'handlers.js', 'zlib.js'].map((name) => load.resolve(`${folder}/${name}`)),
);

export const record = recordModule as RecordModule;
/** What ssh2-shape.ts knows the shapes of. */
export const modules = { Protocol, handlers, zlib } as const;

/** Before `comingBytes` are deciphered: room for them in the packet that they go on with. */
export function makeRoom(decipher: Decipher, comingBytes: number): void {
  const { _packet: begun, _len: wholeBytes } = decipher;
  if (begun === null || begun.length === wholeBytes) {
    return;
  }
  const heldBytes = decipher._pktLen ?? decipher._packetPos ?? 0;
  const neededBytes = Math.min(wholeBytes, heldBytes + comingBytes);
  if (neededBytes > begun.length) {
    const larger = Buffer.allocUnsafe(Math.min(wholeBytes, Math.max(neededBytes, 2 * heldBytes)));
    larger.set(begun.subarray(0, heldBytes));
    decipher._packet = larger;
  }
}

/**
 * A binding that was built for another major version of OpenSSL loads, and fails at the first packet
 * of some ciphers (node-gyp must be given --real_openssl_major, as the package's install.js does).
 */
function tryCipher(name: string): void {
  const cipherInfo = record.CIPHER_INFO[name];
  const macInfo = record.MAC_INFO['hmac-sha2-256'];
  if (cipherInfo === undefined || macInfo === undefined) {
    throw new ConfigError(`ssh2 does not know ${name}`);
  }
  try {
    const cipher = record.createCipher({
      outbound: {
        seqno: 0,
        onWrite() {},
        cipherInfo,
        cipherKey: Buffer.alloc(cipherInfo.keyLen),
        cipherIV: Buffer.alloc(cipherInfo.ivLen),
        macInfo,
        macKey: Buffer.alloc(macInfo.len),
      },
    });
    cipher.encrypt(cipher.allocPacket(1));
    cipher.free();
  } catch (cause) {
    throw new ConfigError(`ssh2: its native binding cannot do ${name}; build it again`, { cause });
  }
}

/** Throws ConfigError unless the package is the pinned one, built with its native binding. */
export function checkPackage(): void {
  const { version } = load('ssh2/package.json') as { version: string };
  if (version !== pinnedVersion) {
    throw new ConfigError(`ssh2 ${version} is installed, ${pinnedVersion} is needed`);
  }
  if (!record.bindingAvailable) {
    throw new ConfigError('ssh2: the native binding sshcrypto.node is missing or does not load');
  }
  for (const { name } of cipherAlgorithms) {
    tryCipher(name);
  }
}
