/**
 * A client's half of the transport, written for tests from the RFCs with node:crypto alone, which can
 * misbehave on every byte. Its record layer is record-layer.ts's.
 */
import {
  createDiffieHellmanGroup,
  createECDH,
  createHash,
  createPublicKey,
  decapsulate,
  diffieHellman,
  generateKeyPairSync,
  randomBytes,
  verify,
} from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { clearLayer, makeRecordLayer, type RecordLayer, recordSizes } from './record-layer.ts';

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
export function sshString(value: Buffer | string): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([uint32(bytes.length), bytes]);
}
export function mpint(value: Buffer): Buffer {
  let from = 0;
  while (from < value.length && value[from] === 0) {
    from++;
  }
  const bare = value.subarray(from);
  const pad = bare.length > 0 && (bare[0] as number) > 127 ? [Buffer.alloc(1)] : [];
  return sshString(Buffer.concat([...pad, bare]));
}
function takeString(bytes: Buffer, at: number): [Buffer, number] {
  const end = at + 4 + bytes.readUInt32BE(at);
  return [bytes.subarray(at + 4, end), end];
}

interface Share {
  readonly hash: string;
  readonly publicValue: Buffer;
  /** How the public values and the secret enter the hash. */
  encodeValue(value: Buffer): Buffer;
  /** Returns K as it enters the hash and the key derivation. */
  secret(serverValue: Buffer): Buffer;
}

function x25519(): { raw: Buffer; derive(peer: Buffer): Buffer } {
  const pair = generateKeyPairSync('x25519');
  return {
    raw: Buffer.from(pair.publicKey.export({ format: 'jwk' }).x as string, 'base64url'),
    derive: (peer) =>
      diffieHellman({
        privateKey: pair.privateKey,
        publicKey: createPublicKey({
          key: { kty: 'OKP', crv: 'X25519', x: peer.toString('base64url') },
          format: 'jwk',
        }),
      }),
  };
}

function makeShare(kex: string): Share {
  if (kex.startsWith('curve25519')) {
    const own = x25519();
    return {
      hash: 'sha256',
      publicValue: own.raw,
      encodeValue: sshString,
      secret: (value) => mpint(own.derive(value)),
    };
  }
  if (kex === 'mlkem768x25519-sha256') {
    const own = x25519();
    const mlkem = generateKeyPairSync('ml-kem-768');
    const spki = mlkem.publicKey.export({ format: 'der', type: 'spki' });
    return {
      hash: 'sha256',
      publicValue: Buffer.concat([spki.subarray(-1184), own.raw]),
      encodeValue: sshString,
      secret(value) {
        const first = decapsulate(mlkem.privateKey, value.subarray(0, 1088));
        const second = own.derive(value.subarray(1088));
        return sshString(createHash('sha256').update(first).update(second).digest());
      },
    };
  }
  if (kex.startsWith('ecdh-sha2-nistp')) {
    const bits = kex.slice(-3);
    const curve = { 256: 'prime256v1', 384: 'secp384r1', 521: 'secp521r1' }[bits] as string;
    const own = createECDH(curve);
    return {
      hash: { 256: 'sha256', 384: 'sha384', 521: 'sha512' }[bits] as string,
      publicValue: own.generateKeys(),
      encodeValue: sshString,
      secret: (value) => mpint(own.computeSecret(value)),
    };
  }
  const own = createDiffieHellmanGroup(`modp${/group(\d+)/.exec(kex)?.[1]}`);
  own.generateKeys();
  return {
    hash: kex.slice(kex.lastIndexOf('-') + 1),
    publicValue: own.getPublicKey(),
    encodeValue: mpint,
    secret: (value) => mpint(own.computeSecret(value)),
  };
}

interface Direction {
  sequence: number;
  layer: RecordLayer;
}

export interface RawOptions {
  readonly kex?: string;
  readonly strict?: boolean;
  readonly extInfo?: boolean;
  /** Default: aes128-ctr. */
  readonly cipher?: string;
  /** Default: hmac-sha2-256. */
  readonly mac?: string;
  readonly version?: string;
}

export class RawClient {
  readonly socket: Socket;
  readonly #kex: string;
  readonly #strict: boolean;
  readonly #extInfo: boolean;
  readonly #mac: string;
  readonly #version: string;
  readonly #cipher: string;
  readonly #out: Direction = { sequence: 0, layer: clearLayer };
  readonly #in: Direction = { sequence: 0, layer: clearLayer };
  #received: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => {};
  serverVersion = '';
  kexInit: Buffer = Buffer.alloc(0);
  serverKexInit: Buffer = Buffer.alloc(0);
  sessionId: Buffer | undefined;
  share: Share | undefined;

  constructor(socket: Socket, options: RawOptions = {}) {
    this.socket = socket;
    this.#kex = options.kex ?? 'curve25519-sha256';
    this.#strict = options.strict ?? true;
    this.#extInfo = options.extInfo ?? true;
    this.#cipher = options.cipher ?? 'aes128-ctr';
    this.#mac = options.mac ?? 'hmac-sha2-256';
    this.#version = options.version ?? 'SSH-2.0-raw_client';
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    const end = () => {
      this.#ended = true;
      this.#wake();
    };
    socket.on('end', end);
    socket.on('close', end);
    socket.on('error', end);
  }

  static async connect(port: number, options: RawOptions = {}): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new RawClient(socket, options);
  }

  async #need(bytes: number): Promise<boolean> {
    const deadline = Date.now() + 5000;
    while (this.#received.length < bytes && !this.#ended) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, Math.max(0, deadline - Date.now()));
      await promise;
      clearTimeout(timer);
      if (Date.now() >= deadline) {
        throw new Error('nothing came for five seconds');
      }
    }
    return this.#received.length >= bytes;
  }

  /** Everything that came until the peer closed, as text. */
  async untilClosed(): Promise<string> {
    while (!this.#ended) {
      await this.#need(this.#received.length + 1);
    }
    return this.#received.toString('latin1');
  }

  async readVersion(): Promise<string> {
    while (!this.#received.includes(0x0a)) {
      if (!(await this.#need(this.#received.length + 1))) {
        throw new Error('closed before the identification');
      }
    }
    const end = this.#received.indexOf(0x0a);
    this.serverVersion = this.#received.subarray(0, end).toString('latin1').replace(/\r$/, '');
    this.#received = this.#received.subarray(end + 1);
    return this.serverVersion;
  }

  /** The next payload; undefined when the peer closed. */
  async next(): Promise<Buffer | undefined> {
    const { layer, sequence } = this.#in;
    if (!(await this.#need(layer.headBytes))) {
      return undefined;
    }
    const bytes = layer.lengthOf(sequence, this.#received.subarray(0, layer.headBytes));
    const end = 4 + bytes + layer.tagBytes;
    if (!(await this.#need(end))) {
      return undefined;
    }
    const plain = layer.open(sequence, this.#received.subarray(0, end));
    this.#received = this.#received.subarray(end);
    this.#in.sequence++;
    return Buffer.from(plain.subarray(5, plain.length - (plain[4] as number)));
  }

  /** Skips others until `number` comes. */
  async expect(number: number): Promise<Buffer> {
    for (;;) {
      const payload = await this.next();
      if (payload === undefined) {
        throw new Error(`closed while message ${number} is awaited`);
      }
      if (payload[0] === number) {
        return payload;
      }
      if (payload[0] === 1) {
        throw new Error(`DISCONNECT ${payload.readUInt32BE(1)} while ${number} is awaited`);
      }
    }
  }

  /** Reason and text of the DISCONNECT that comes, after whatever else. */
  async farewell(): Promise<{ reason: number; text: string } | undefined> {
    for (;;) {
      const payload = await this.next();
      if (payload === undefined) {
        return undefined;
      }
      if (payload[0] === 1) {
        return { reason: payload.readUInt32BE(1), text: takeString(payload, 5)[0].toString() };
      }
    }
  }

  seal(payload: Buffer, change: { length?: number; padding?: number } = {}): Buffer {
    const { layer } = this.#out;
    const block = layer.blockBytes;
    let padding = block - ((payload.length + (layer.isLengthApart ? 1 : 5)) % block);
    padding += padding < 4 ? block : 0;
    return this.sealPlain(
      Buffer.concat([
        uint32(change.length ?? payload.length + padding + 1),
        Buffer.from([change.padding ?? padding]),
        payload,
        randomBytes(padding),
      ]),
    );
  }

  /** A whole plain packet, its length and padding as the caller likes them. */
  sealPlain(plain: Buffer): Buffer {
    return this.#out.layer.seal(this.#out.sequence++, plain);
  }

  /** As if a packet had been sent and taken away on the road. */
  skipSequence(): void {
    this.#out.sequence++;
  }

  send(...payloads: Buffer[]): void {
    this.socket.write(Buffer.concat(payloads.map((payload) => this.seal(payload))));
  }

  makeKexInit(
    changes: { kex?: string[]; hostKeys?: string[]; guess?: boolean; compression?: string } = {},
  ): Buffer {
    const kex = changes.kex ?? [
      this.#kex,
      ...(this.#extInfo ? ['ext-info-c'] : []),
      ...(this.#strict ? ['kex-strict-c-v00@openssh.com'] : []),
    ];
    const both = (names: string) => [sshString(names), sshString(names)];
    this.kexInit = Buffer.concat([
      Buffer.from([20]),
      randomBytes(16),
      sshString(kex.join(',')),
      sshString((changes.hostKeys ?? ['ssh-ed25519']).join(',')),
      ...both(this.#cipher),
      ...both(this.#mac),
      sshString(changes.compression ?? 'none'),
      sshString('none'),
      ...both(''),
      Buffer.from([changes.guess ? 1 : 0]),
      uint32(0),
    ]);
    return this.kexInit;
  }

  kexValue(): Buffer {
    this.share = makeShare(this.#kex);
    return Buffer.concat([Buffer.from([30]), this.share.encodeValue(this.share.publicValue)]);
  }

  /** Versions and KEXINITs, both ways. */
  async open(): Promise<void> {
    this.socket.write(`${this.#version}\r\n`);
    await this.readVersion();
    this.send(this.makeKexInit());
    this.serverKexInit = await this.expect(20);
  }

  /** From KEXDH_REPLY on: checks the host's signature, answers NEWKEYS, takes the keys. */
  async takeReply(): Promise<void> {
    const share = this.share as Share;
    const reply = await this.expect(31);
    const [hostKey, afterKey] = takeString(reply, 1);
    const [serverValue, afterValue] = takeString(reply, afterKey);
    const [signature] = takeString(reply, afterValue);
    const secret = share.secret(serverValue);
    const hash = createHash(share.hash)
      .update(sshString(this.#version))
      .update(sshString(this.serverVersion))
      .update(sshString(this.kexInit))
      .update(sshString(this.serverKexInit))
      .update(sshString(hostKey))
      .update(share.encodeValue(share.publicValue))
      .update(share.encodeValue(serverValue))
      .update(secret)
      .digest();
    const [, keyAt] = takeString(hostKey, 0);
    const publicKey = createPublicKey({
      key: { kty: 'OKP', crv: 'Ed25519', x: takeString(hostKey, keyAt)[0].toString('base64url') },
      format: 'jwk',
    });
    const [, valueAt] = takeString(signature, 0);
    if (!verify(null, hash, publicKey, takeString(signature, valueAt)[0])) {
      throw new Error('the host key does not verify');
    }
    await this.expect(21);
    this.sessionId ??= hash;
    this.#inKeys(share.hash, secret, hash);
    this.send(Buffer.from([21]));
    this.#outKeys(share.hash, secret, hash);
  }

  #layer(letters: string, hashName: string, secret: Buffer, hash: Buffer, isOutbound: boolean) {
    const sizes = recordSizes(this.#cipher, this.#mac);
    const derive = (letter: string, bytes: number): Buffer => {
      const own = createHash(hashName).update(secret).update(hash).update(letter);
      let derived = own.update(this.sessionId as Buffer).digest();
      while (derived.length < bytes) {
        // RFC 4253 §7.2: what is needed beyond one hash.
        const more = createHash(hashName).update(secret).update(hash).update(derived).digest();
        derived = Buffer.concat([derived, more]);
      }
      return derived.subarray(0, bytes);
    };
    const [ivLetter = '', keyLetter = '', macLetter = ''] = letters;
    return makeRecordLayer(
      this.#cipher,
      this.#mac,
      {
        iv: derive(ivLetter, sizes.ivBytes),
        key: derive(keyLetter, sizes.keyBytes),
        macKey: derive(macLetter, sizes.macKeyBytes),
      },
      isOutbound,
    );
  }

  #inKeys(hashName: string, secret: Buffer, hash: Buffer): void {
    this.#in.layer = this.#layer('BDF', hashName, secret, hash, false);
    this.#in.sequence = this.#strict ? 0 : this.#in.sequence;
  }

  #outKeys(hashName: string, secret: Buffer, hash: Buffer): void {
    this.#out.layer = this.#layer('ACE', hashName, secret, hash, true);
    this.#out.sequence = this.#strict ? 0 : this.#out.sequence;
  }

  /** The whole first exchange. */
  async handshake(): Promise<void> {
    await this.open();
    this.send(this.kexValue());
    await this.takeReply();
  }

  /** A later exchange, begun here. */
  async rekey(): Promise<void> {
    this.send(this.makeKexInit());
    this.serverKexInit = await this.expect(20);
    this.send(this.kexValue());
    await this.takeReply();
  }

  async logIn(): Promise<void> {
    this.send(Buffer.concat([Buffer.from([5]), sshString('ssh-userauth')]));
    await this.expect(6);
    const request = ['user', 'ssh-connection', 'none'].map(sshString);
    this.send(Buffer.concat([Buffer.from([50]), ...request]));
    await this.expect(52);
  }
}
