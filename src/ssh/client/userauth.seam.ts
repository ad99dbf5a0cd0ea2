/**
 * Takes the client half of RFC 4252 over from ssh2's `Client`: its own loop hides the text of
 * rounds without prompts, and forgets a partial success that an agent's key has earned. With
 * kex.seam.ts and transport.seam.ts the only file of this folder that touches names of ssh2 that are
 * not public.
 * Runs in: user.
 */
import { createRequire } from 'node:module';
import type { Client, ParsedKey, Prompt } from 'ssh2';
import { firstMethodNumber, lastMethodNumber } from '../userauth/messages.ts';
import { Writer } from '../wire/writer.ts';
import { ClientFailure } from './failure.ts';

export type UserauthReply =
  | { readonly is: 'success' }
  | { readonly is: 'failure'; readonly methods: readonly string[]; readonly isPartial: boolean }
  | { readonly is: 'key-accepted' }
  | {
      readonly is: 'prompts';
      readonly name: string;
      readonly instruction: string;
      readonly prompts: readonly Prompt[];
    }
  | { readonly is: 'change-password'; readonly prompt: string }
  /** A message of the method itself (RFC 4252 §6), for a method that ssh2 does not know. */
  | { readonly is: 'method-message'; readonly payload: Buffer };

type SignatureCallback = (data: Buffer, done: (signature: Buffer) => void) => void;

interface Protocol {
  readonly _handlers: Record<string, (...args: never[]) => void>;
  readonly _authsQueue: string[];
  readonly _kex: { readonly sessionID: Buffer };
  readonly _packetRW: {
    readonly write: {
      readonly allocStart: number;
      alloc(bytes: number): Buffer;
      finalize(packet: Buffer): Buffer;
    };
  };
  /** What a decipher of the connection gives each payload to; taken by it when keys are new. */
  _onPayload(payload: Buffer): unknown;
  _onPacket(): void;
  authNone(user: string): void;
  authPassword(user: string, password: string, newPassword?: string): void;
  authPK(user: string, key: ParsedKey, algorithm: string, sign?: SignatureCallback): void;
  authKeyboard(user: string): void;
  authInfoRes(answers: readonly string[]): void;
}

const { sendPacket, convertSignature } = createRequire(import.meta.url)(
  'ssh2/lib/protocol/utils.js',
) as {
  sendPacket: (protocol: Protocol, packet: Buffer) => boolean;
  /** Of a key's own form to that of RFC 5656 §3.1.2; false: it has neither. */
  convertSignature: (signature: Buffer, keyType: string) => Buffer | false;
};

export interface OfferedKey {
  readonly key: ParsedKey;
  readonly certificate: Buffer | undefined;
}

interface Pending {
  resolve(reply: UserauthReply): void;
  reject(error: Error): void;
}

/** A server that asks for more rounds, prompts or methods than this is not having a login. */
const maxPrompts = 64;
const maxMethods = 64;
/** ERROR, an error token and FAILURE may come at once. */
const maxWaiting = 4;

/** One request is out at a time; each `exchange` settles with its reply or the connection's end. */
export class UserauthWire {
  readonly #protocol: Protocol;
  #pending: Pending | null = null;
  /** A method that ssh2 does not know is running: its messages come here. */
  #isOwnMethod = false;
  /** What such a method has been sent before it looked for it. */
  readonly #waiting: UserauthReply[] = [];
  #ended: Error | null = null;
  #accepted: () => void = () => undefined;
  readonly #onSuccess: () => void;
  /** The server has accepted `ssh-userauth`. */
  readonly started: Promise<void>;
  /** Of server-sig-algs (RFC 8308); null: not announced. */
  signatureAlgorithms: readonly string[] | null = null;

  /**
   * Called right after `client.connect`, before its socket has given a byte. `onSuccess` runs while
   * SUCCESS is being handled.
   */
  constructor(client: Client, onSuccess: () => void) {
    this.#onSuccess = onSuccess;
    this.#protocol = protocolOf(client);
    this.started = new Promise((resolve) => {
      this.#accepted = resolve;
    });
    this.#install(this.#protocol._handlers);
    this.#intercept(this.#protocol);
  }

  /** No key was exchanged yet: every decipher of this connection is made with this. */
  #intercept(protocol: Protocol): void {
    const given = protocol._onPayload;
    protocol._onPayload = (payload) => {
      const number = payload[0] ?? 0;
      if (!this.#isOwnMethod || number < firstMethodNumber || number > lastMethodNumber) {
        return given(payload);
      }
      protocol._onPacket();
      // The decipher's memory is used again.
      this.#settle({ is: 'method-message', payload: Buffer.from(payload) });
      return undefined;
    };
  }

  #install(handlers: Protocol['_handlers']): void {
    const succeeded = handlers.USERAUTH_SUCCESS;
    const replacements: Record<string, (...args: never[]) => void> = {
      SERVICE_ACCEPT: (_protocol, name: string) => {
        if (name === 'ssh-userauth') this.#accepted();
      },
      EXT_INFO: (_protocol, extensions: readonly { name: string; algs?: string[] }[]) => {
        const list = extensions.find((extension) => extension.name === 'server-sig-algs')?.algs;
        if (list) this.signatureAlgorithms ??= list;
      },
      USERAUTH_SUCCESS: (protocol: never) => {
        if (!this.#isExpecting) {
          this.fail(unasked());
          return;
        }
        succeeded?.(protocol);
        this.#onSuccess();
        this.#settle({ is: 'success' });
      },
      USERAUTH_FAILURE: (_protocol, methods: readonly string[], isPartial: boolean) => {
        this.#settle({ is: 'failure', methods: methods.slice(0, maxMethods), isPartial });
      },
      USERAUTH_PK_OK: () => this.#settle({ is: 'key-accepted' }),
      USERAUTH_INFO_REQUEST: (
        _protocol,
        name: string,
        instruction: string,
        prompts: readonly Prompt[],
      ) => {
        if (prompts.length > maxPrompts) {
          this.fail(new ClientFailure('connection', 'the server asks too many questions'));
        } else {
          this.#settle({ is: 'prompts', name, instruction, prompts });
        }
      },
      USERAUTH_PASSWD_CHANGEREQ: (_protocol, prompt: string) => {
        this.#protocol._authsQueue.shift();
        this.#settle({ is: 'change-password', prompt });
      },
    };
    Object.assign(handlers, replacements);
  }

  get #mayWait(): boolean {
    return this.#isOwnMethod && this.#waiting.length < maxWaiting;
  }

  /** A request is out: what comes without one is no reply. */
  get #isExpecting(): boolean {
    return this.#pending !== null || this.#mayWait;
  }

  #settle(reply: UserauthReply): void {
    const mayWait = this.#mayWait;
    if (reply.is !== 'method-message') this.#isOwnMethod = false;
    const pending = this.#pending;
    this.#pending = null;
    if (pending) pending.resolve(reply);
    else if (mayWait) this.#waiting.push(reply);
    else this.fail(unasked());
  }

  fail(error: Error): void {
    this.#ended ??= error;
    this.#pending?.reject(error);
    this.#pending = null;
  }

  #exchange(send: () => void): Promise<UserauthReply> {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        reject(this.#ended);
        return;
      }
      if (this.#waiting.length > 0) {
        reject(unasked());
        return;
      }
      this.#pending = { resolve, reject };
      send();
    });
  }

  none(user: string): Promise<UserauthReply> {
    return this.#exchange(() => this.#protocol.authNone(user));
  }

  password(user: string, password: string, newPassword?: string): Promise<UserauthReply> {
    return this.#exchange(() => this.#protocol.authPassword(user, password, newPassword));
  }

  keyboardInteractive(user: string): Promise<UserauthReply> {
    return this.#exchange(() => this.#protocol.authKeyboard(user));
  }

  answer(answers: readonly string[]): Promise<UserauthReply> {
    return this.#exchange(() => this.#protocol.authInfoRes(answers));
  }

  queryKey(user: string, offered: OfferedKey, algorithm: string): Promise<UserauthReply> {
    const { key, name } = onWire(offered, algorithm);
    return this.#exchange(() => this.#protocol.authPK(user, key, name));
  }

  /** RFC 4253 §7.2 */
  get sessionId(): Buffer {
    return this.#protocol._kex.sessionID;
  }

  /** One message of a method that ssh2 does not know, and what comes next. */
  askMethod(payload: Buffer): Promise<UserauthReply> {
    return this.#exchange(() => this.sendMethod(payload));
  }

  sendMethod(payload: Buffer): void {
    this.#isOwnMethod = true;
    this.#send(payload);
  }

  #send(payload: Buffer): void {
    const { write } = this.#protocol._packetRW;
    const packet = write.alloc(payload.length);
    packet.set(payload, write.allocStart);
    sendPacket(this.#protocol, write.finalize(packet));
  }

  /** What comes next without anything being sent. */
  async nextOfMethod(): Promise<UserauthReply> {
    return this.#waiting.shift() ?? this.#exchange(() => undefined);
  }

  /** It is given up: of its messages no further one is awaited. */
  leaveMethod(): void {
    this.#isOwnMethod = false;
  }

  /** `sign` throwing sends nothing: the caller goes on with another key. */
  async proveKey(
    user: string,
    offered: OfferedKey,
    algorithm: string,
    sign: (data: Buffer) => Promise<Buffer>,
  ): Promise<UserauthReply> {
    const { key, name } = onWire(offered, algorithm);
    const { data, send } = await new Promise<{ data: Buffer; send: (signature: Buffer) => void }>(
      (resolve) => {
        this.#protocol.authPK(user, key, name, (data, send) => resolve({ data, send }));
      },
    );
    const signature = await sign(data);
    if (!offered.certificate) return this.#exchange(() => send(signature));
    // The package would write the certificate's name into the signature, where the key's stands.
    const request = data.subarray(4 + this.sessionId.length);
    const value = convertSignature(signature, key.type);
    if (value === false) throw new Error('a signature of no known form');
    const blob = new Writer().text(algorithm).string(value).done();
    return this.#exchange(() => {
      this.#protocol._authsQueue.push('publickey');
      this.#send(new Writer().raw(request).string(blob).done());
    });
  }
}

/** The key as it is asked about: a certificate has a blob and an algorithm name of its own. */
function onWire({ key, certificate }: OfferedKey, algorithm: string) {
  if (!certificate) return { key, name: algorithm };
  const shown = Object.create(key, { getPublicSSH: { value: () => certificate } }) as ParsedKey;
  return { key: shown, name: `${algorithm}-cert-v01@openssh.com` };
}

function unasked(): ClientFailure {
  return new ClientFailure('connection', 'the server answers what was not asked');
}

/** Checks the shape of what is relied on, so that another version fails clearly and at once. */
function protocolOf(client: Client): Protocol {
  const protocol = (client as unknown as { _protocol?: Partial<Protocol> })._protocol;
  const isWhole =
    protocol !== undefined &&
    typeof protocol._handlers?.USERAUTH_SUCCESS === 'function' &&
    Array.isArray(protocol._authsQueue) &&
    typeof protocol._onPayload === 'function' &&
    typeof protocol._onPacket === 'function' &&
    typeof protocol._packetRW?.write.finalize === 'function' &&
    typeof sendPacket === 'function' &&
    typeof convertSignature === 'function' &&
    (['authNone', 'authPassword', 'authPK', 'authKeyboard', 'authInfoRes'] as const).every(
      (name) => typeof protocol[name] === 'function',
    );
  if (!isWhole) throw new Error('ssh2 is not the version that this client was written for');
  return protocol as Protocol;
}
