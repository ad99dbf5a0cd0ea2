/**
 * A client that can say anything at any time: RFC 4253 with curve25519-sha256, aes128-ctr with
 * hmac-sha2-256-etm or aes128-gcm, step by step, and nothing of our own codec in it. Runs in: test.
 */
import {
  type Cipheriv,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  type Decipheriv,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from 'node:crypto';
import { connect, type Socket } from 'node:net';

// ---- the data types of RFC 4251 §5 ----

export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};
export const str = (value: string | Buffer): Buffer => {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([u32(bytes.length), bytes]);
};
export const byte = (value: number): Buffer => Buffer.from([value]);
export const yes = byte(1);
export const no = byte(0);
export const mpint = (bytes: Buffer): Buffer => {
  let from = 0;
  while (from < bytes.length && bytes[from] === 0) {
    from++;
  }
  const rest = bytes.subarray(from);
  return str((rest[0] ?? 0) >= 0x80 ? Buffer.concat([no, rest]) : rest);
};
export const payload = (number: number, ...fields: readonly Buffer[]): Buffer =>
  Buffer.concat([byte(number), ...fields]);

/** Reads strings and numbers off a payload, from offset 1 on. */
export class Fields {
  readonly #bytes: Buffer;
  #at = 1;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  u32(): number {
    this.#at += 4;
    return this.#bytes.readUInt32BE(this.#at - 4);
  }
  str(): Buffer {
    const length = this.u32();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
  byte(): number {
    this.#at++;
    return this.#bytes[this.#at - 1] as number;
  }
}

// ---- a key of the client ----

export interface RawKey {
  readonly privateKey: KeyObject;
  readonly blob: Buffer;
  /** For authorized_keys. */
  readonly line: string;
}

const derPrefix = Buffer.from('302a300506032b6570032100', 'hex');

export function makeRawKey(): RawKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const point = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  const blob = Buffer.concat([str('ssh-ed25519'), str(point)]);
  return { privateKey, blob, line: `ssh-ed25519 ${blob.toString('base64')} raw` };
}

// ---- record layer ----

interface Direction {
  readonly cipher: Cipheriv | Decipheriv | undefined;
  readonly gcmKey: Buffer | undefined;
  readonly iv: Buffer;
  readonly macKey: Buffer;
}

export interface RawOptions {
  readonly cipher?: 'aes128-ctr' | 'aes128-gcm@openssh.com';
  readonly version?: string;
  /** Announce kex-strict-c-v00@openssh.com (default yes). */
  readonly strict?: boolean;
  /** Where the server is; default 127.0.0.1. */
  readonly host?: string;
  /** The address to come from. */
  readonly localAddress?: string;
}

export interface Ending {
  /** The server closed the connection. */
  readonly closed: boolean;
  readonly disconnect: { readonly reason: number; readonly text: string } | undefined;
  /** Every message since the last look. */
  readonly messages: readonly Buffer[];
}

export class RawSsh {
  readonly socket: Socket;
  readonly #options: Required<Pick<RawOptions, 'cipher' | 'version' | 'strict'>>;
  #incoming: Buffer = Buffer.alloc(0);
  readonly #queue: Buffer[] = [];
  #closed = false;
  #failure: Error | undefined;
  #wake: () => void = () => undefined;
  #serverVersion = '';
  #clientKexInit: Buffer = Buffer.alloc(0);
  #serverKexInit: Buffer = Buffer.alloc(0);
  #out: Direction | undefined;
  #in: Direction | undefined;
  #nextOut: Direction | undefined;
  #nextIn: Direction | undefined;
  #sequenceOut = 0;
  #sequenceIn = 0;
  #strict = false;
  sessionId: Buffer | undefined;

  private constructor(socket: Socket, options: RawOptions) {
    this.socket = socket;
    this.#options = {
      cipher: options.cipher ?? 'aes128-ctr',
      version: options.version ?? 'SSH-2.0-raw_1.0',
      strict: options.strict ?? true,
    };
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.#incoming = Buffer.concat([this.#incoming, chunk]);
      try {
        this.#parse();
      } catch (error) {
        this.#failure = error as Error;
      }
      this.#wake();
    });
    // A reset is one of the ways in which a server may end; `ending` tells.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
  }

  static async open(port: number, options: RawOptions = {}): Promise<RawSsh> {
    const { host = '127.0.0.1', localAddress } = options;
    const socket = connect({ port, host, ...(localAddress === undefined ? {} : { localAddress }) });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve).once('error', reject);
    });
    return new RawSsh(socket, options);
  }

  /** Identification and first key exchange. */
  static async shaken(port: number, options: RawOptions = {}): Promise<RawSsh> {
    const client = await RawSsh.open(port, options);
    await client.identify();
    await client.exchangeKeys();
    return client;
  }

  /** … and logged in with a key. */
  static async loggedIn(
    port: number,
    user: string,
    key: RawKey,
    options: RawOptions = {},
  ): Promise<RawSsh> {
    const client = await RawSsh.shaken(port, options);
    await client.requestUserauth();
    client.send(client.signedRequest(user, key));
    const answer = await client.nextOf(51, 52);
    if (answer[0] !== 52) {
      throw new Error('login refused');
    }
    return client;
  }

  /** Both sides have announced strict key exchange. */
  get isStrict(): boolean {
    return this.#strict;
  }

  get sequenceOut(): number {
    return this.#sequenceOut;
  }

  #parse(): void {
    if (this.#serverVersion === '') {
      const end = this.#incoming.indexOf('\n');
      if (end < 0) {
        return;
      }
      this.#serverVersion = this.#incoming.subarray(0, end).toString('latin1').replace(/\r$/, '');
      this.#incoming = this.#incoming.subarray(end + 1);
    }
    for (;;) {
      const bytes = this.#takePacket();
      if (bytes === undefined) {
        return;
      }
      this.#sequenceIn = (this.#sequenceIn + 1) >>> 0;
      if (bytes[0] === 21 && this.#nextIn !== undefined) {
        this.#in = this.#nextIn;
        this.#nextIn = undefined;
        if (this.#strict) {
          this.#sequenceIn = 0;
        }
      }
      this.#queue.push(bytes);
    }
  }

  #takePacket(): Buffer | undefined {
    const way = this.#in;
    if (way === undefined && this.#queue.at(-1)?.[0] === 21) {
      // Behind NEWKEYS everything waits for the new keys.
      return undefined;
    }
    if (way === undefined) {
      if (this.#incoming.length < 4) {
        return undefined;
      }
      const length = this.#incoming.readUInt32BE(0);
      if (length > 300_000) {
        throw new Error(`the server sent a packet of ${length}`);
      }
      return this.#incoming.length < 4 + length ? undefined : this.#unpack(4 + length, 0);
    }
    if (way.gcmKey !== undefined) {
      if (this.#incoming.length < 4) {
        return undefined;
      }
      const length = this.#incoming.readUInt32BE(0);
      if (this.#incoming.length < 4 + length + 16) {
        return undefined;
      }
      const decipher = createDecipheriv('aes-128-gcm', way.gcmKey, way.iv);
      increment(way.iv);
      decipher.setAAD(this.#incoming.subarray(0, 4));
      decipher.setAuthTag(this.#incoming.subarray(4 + length, 20 + length));
      const plain = Buffer.concat([
        this.#incoming.subarray(0, 4),
        decipher.update(this.#incoming.subarray(4, 4 + length)),
        decipher.final(),
      ]);
      this.#incoming = this.#incoming.subarray(20 + length);
      return strip(plain);
    }
    if (this.#incoming.length < 4) {
      return undefined;
    }
    const end = 4 + this.#incoming.readUInt32BE(0);
    if (this.#incoming.length < end + 32) {
      return undefined;
    }
    const sealed = this.#incoming.subarray(0, end);
    const mac = createHmac('sha256', way.macKey)
      .update(u32(this.#sequenceIn))
      .update(sealed)
      .digest();
    if (!mac.equals(this.#incoming.subarray(end, end + 32))) {
      throw new Error('the server sent a wrong MAC');
    }
    const cipher = way.cipher as Decipheriv;
    const plain = Buffer.concat([sealed.subarray(0, 4), cipher.update(sealed.subarray(4))]);
    this.#incoming = this.#incoming.subarray(end + 32);
    return strip(plain);
  }

  #unpack(length: number, tail: number): Buffer {
    const plain = this.#incoming.subarray(0, length);
    this.#incoming = this.#incoming.subarray(length + tail);
    return strip(plain);
  }

  /** Frames, encrypts and sends one payload. `spoil` may change the packet as it goes out. */
  send(bytes: Buffer, spoil: (packet: Buffer) => Buffer = (packet) => packet): void {
    this.socket.write(spoil(this.frame(bytes)));
  }

  frame(bytes: Buffer): Buffer {
    const way = this.#out;
    const block = way === undefined ? 8 : 16;
    const head = way === undefined ? 5 : 1;
    let padding = block - ((head + bytes.length) % block);
    if (padding < 4) {
      padding += block;
    }
    const plain = Buffer.concat([
      u32(1 + bytes.length + padding),
      byte(padding),
      bytes,
      randomBytes(padding),
    ]);
    const packet = this.encrypt(plain);
    if (bytes[0] === 21 && this.#nextOut !== undefined) {
      this.#out = this.#nextOut;
      this.#nextOut = undefined;
      if (this.#strict) {
        this.#sequenceOut = 0;
      }
    }
    return packet;
  }

  /** A whole plain packet, its length and padding as the caller likes them. */
  encrypt(plain: Buffer): Buffer {
    const way = this.#out;
    const sequence = this.#sequenceOut;
    this.#sequenceOut = (this.#sequenceOut + 1) >>> 0;
    if (way === undefined) {
      return plain;
    }
    if (way.gcmKey !== undefined) {
      const cipher = createCipheriv('aes-128-gcm', way.gcmKey, way.iv);
      increment(way.iv);
      cipher.setAAD(plain.subarray(0, 4));
      const body = Buffer.concat([cipher.update(plain.subarray(4)), cipher.final()]);
      return Buffer.concat([plain.subarray(0, 4), body, cipher.getAuthTag()]);
    }
    const sealed = Buffer.concat([
      plain.subarray(0, 4),
      (way.cipher as Cipheriv).update(plain.subarray(4)),
    ]);
    const mac = createHmac('sha256', way.macKey).update(u32(sequence)).update(sealed).digest();
    return Buffer.concat([sealed, mac]);
  }

  /** The next message; undefined when the server has closed. */
  async next(timeoutMs = 8_000): Promise<Buffer | undefined> {
    const until = Date.now() + timeoutMs;
    for (;;) {
      const bytes = this.#queue.shift();
      if (bytes !== undefined) {
        return bytes;
      }
      if (this.#failure !== undefined) {
        throw this.#failure;
      }
      if (this.#closed) {
        return undefined;
      }
      const left = until - Date.now();
      if (left <= 0) {
        throw new Error('the server says nothing');
      }
      await this.#change(left);
    }
  }

  async #change(timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => undefined;
  }

  /** The next message with one of these numbers; others in between are passed over. */
  async nextOf(...numbers: readonly number[]): Promise<Buffer> {
    for (;;) {
      const bytes = await this.next();
      if (bytes === undefined) {
        throw new Error(`closed where ${numbers} was expected`);
      }
      if (numbers.includes(bytes[0] as number)) {
        return bytes;
      }
      if (bytes[0] === 1) {
        const fields = new Fields(bytes);
        throw new Error(`disconnected with ${fields.u32()} ${fields.str()}`);
      }
    }
  }

  /** Reads until the server closes, or has been quiet for `quietMs`. */
  async ending(quietMs = 400, timeoutMs = 6_000): Promise<Ending> {
    const messages: Buffer[] = [];
    const until = Date.now() + timeoutMs;
    for (;;) {
      const bytes = this.#queue.shift();
      if (bytes !== undefined) {
        messages.push(bytes);
        continue;
      }
      if (this.#failure !== undefined) {
        throw this.#failure;
      }
      if (this.#closed || Date.now() > until) {
        break;
      }
      const began = Date.now();
      await this.#change(quietMs);
      if (Date.now() - began >= quietMs - 5 && this.#queue.length === 0 && !this.#closed) {
        break;
      }
    }
    const last = messages.find((bytes) => bytes[0] === 1);
    let disconnect: Ending['disconnect'];
    if (last !== undefined) {
      const fields = new Fields(last);
      disconnect = { reason: fields.u32(), text: fields.str().toString() };
    }
    return { closed: this.#closed, disconnect, messages };
  }

  close(): void {
    this.socket.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  // ---- key exchange ----

  async identify(): Promise<string> {
    this.socket.write(`${this.#options.version}\r\n`);
    while (this.#serverVersion === '') {
      if (this.#closed) {
        throw new Error('closed before the identification');
      }
      await this.#change(5_000);
    }
    return this.#serverVersion;
  }

  kexInit(changes: Readonly<Record<number, string>> = {}, guess = false): Buffer {
    const kex = ['curve25519-sha256', 'ext-info-c'];
    if (this.#options.strict) {
      kex.push('kex-strict-c-v00@openssh.com');
    }
    const lists = [
      kex.join(','),
      'ssh-ed25519',
      ...[this.#options.cipher, this.#options.cipher],
      ...['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-256-etm@openssh.com'],
      ...['none', 'none', '', ''],
    ].map((list, index) => str(changes[index] ?? list));
    return payload(20, randomBytes(16), ...lists, guess ? yes : no, u32(0));
  }

  /** Sends our KEXINIT (once per exchange) and keeps it for the hash. */
  sendKexInit(bytes = this.kexInit()): void {
    this.#clientKexInit = bytes;
    this.send(bytes);
  }

  /** One key exchange, first or later, from KEXINIT to NEWKEYS of both. */
  async exchangeKeys(between: () => void = () => undefined): Promise<void> {
    this.sendKexInit();
    await this.finishExchange(between);
  }

  async finishExchange(between: () => void = () => undefined): Promise<void> {
    this.#serverKexInit = await this.nextOf(20);
    const isFirst = this.sessionId === undefined;
    if (isFirst) {
      this.#strict =
        this.#options.strict && this.#serverKexInit.includes('kex-strict-s-v00@openssh.com');
    }
    const pair = generateKeyPairSync('x25519');
    const ours = pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
    between();
    this.send(payload(30, str(ours)));
    const reply = new Fields(await this.nextOf(31));
    const [hostKey, theirs, signature] = [reply.str(), reply.str(), reply.str()];
    const secret = mpint(
      diffieHellman({
        privateKey: pair.privateKey,
        publicKey: createPublicKey({
          key: Buffer.concat([Buffer.from('302a300506032b656e032100', 'hex'), theirs]),
          format: 'der',
          type: 'spki',
        }),
      }),
    );
    const hash = createHash('sha256')
      .update(str(this.#options.version))
      .update(str(this.#serverVersion))
      .update(str(this.#clientKexInit))
      .update(str(this.#serverKexInit))
      .update(str(hostKey))
      .update(str(ours))
      .update(str(theirs))
      .update(secret)
      .digest();
    const point = new Fields(Buffer.concat([no, hostKey]));
    point.str();
    const hostPublic = createPublicKey({
      key: Buffer.concat([derPrefix, point.str()]),
      format: 'der',
      type: 'spki',
    });
    const proof = new Fields(Buffer.concat([no, signature]));
    proof.str();
    if (!verify(null, hash, hostPublic, proof.str())) {
      throw new Error('the signature of the host key is wrong');
    }
    this.sessionId ??= hash;
    const derive = (letter: string, size: number): Buffer =>
      createHash('sha256')
        .update(secret)
        .update(hash)
        .update(letter)
        .update(this.sessionId as Buffer)
        .digest()
        .subarray(0, size);
    const isGcm = this.#options.cipher === 'aes128-gcm@openssh.com';
    const direction = (letters: string, isOut: boolean): Direction => {
      const [ivLetter, keyLetter, macLetter] = letters;
      const key = derive(keyLetter as string, 16);
      const iv = Buffer.from(derive(ivLetter as string, isGcm ? 12 : 16));
      const make = isOut ? createCipheriv : createDecipheriv;
      return {
        cipher: isGcm ? undefined : make('aes-128-ctr', key, iv),
        gcmKey: isGcm ? key : undefined,
        iv,
        macKey: derive(macLetter as string, 32),
      };
    };
    this.#nextOut = direction('ACE', true);
    this.#nextIn = direction('BDF', false);
    // Its NEWKEYS may be here already, read with the old keys; what is behind it was left alone.
    this.#adoptNewKeys();
    this.send(payload(21));
    await this.nextOf(21);
  }

  /** NEWKEYS that came glued to the reply is already in the queue. */
  #adoptNewKeys(): void {
    if (this.#queue.some((bytes) => bytes[0] === 21) && this.#nextIn !== undefined) {
      this.#in = this.#nextIn;
      this.#nextIn = undefined;
      if (this.#strict) {
        this.#sequenceIn = 0;
      }
      this.#parse();
    }
  }

  // ---- userauth and channels ----

  async requestUserauth(): Promise<void> {
    this.send(payload(5, str('ssh-userauth')));
    await this.nextOf(6);
  }

  signedRequest(user: string, key: RawKey, sessionId = this.sessionId as Buffer): Buffer {
    const request = payload(
      50,
      ...[str(user), str('ssh-connection'), str('publickey'), yes],
      ...[str('ssh-ed25519'), str(key.blob)],
    );
    const signature = sign(null, Buffer.concat([str(sessionId), request]), key.privateKey);
    return Buffer.concat([request, str(Buffer.concat([str('ssh-ed25519'), str(signature)]))]);
  }

  /** Opens a session channel with our number; the server's number. */
  async openSession(number = 0, windowBytes = 2_097_152, packetBytes = 32_768): Promise<number> {
    this.send(payload(90, str('session'), u32(number), u32(windowBytes), u32(packetBytes)));
    const answer = new Fields(await this.nextOf(91));
    answer.u32();
    return answer.u32();
  }

  /** Runs a command on a channel of its own; its output. */
  async exec(command: string, number = 7): Promise<string> {
    const theirs = await this.openSession(number);
    this.send(payload(98, u32(theirs), str('exec'), yes, str(command)));
    let text = '';
    for (;;) {
      const bytes = await this.nextOf(94, 97, 99, 100);
      if (bytes[0] === 94) {
        const fields = new Fields(bytes);
        fields.u32();
        text += fields.str().toString();
      } else if (bytes[0] === 97) {
        this.send(payload(97, u32(theirs)));
        return text;
      } else if (bytes[0] === 100) {
        throw new Error('exec refused');
      }
    }
  }
}

function strip(plain: Buffer): Buffer {
  const padding = plain[4] as number;
  return Buffer.from(plain.subarray(5, plain.length - padding));
}

/** RFC 5647 §7.1: the last eight bytes count up. */
function increment(iv: Buffer): void {
  iv.writeBigUInt64BE(BigInt.asUintN(64, iv.readBigUInt64BE(4) + 1n), 4);
}
