/**
 * Takes the client half of RFC 4252 over from ssh2's `Client`: its own loop hides the text of
 * rounds without prompts, and forgets a partial success that an agent's key has earned. With
 * kex.seam.ts and transport.seam.ts the only file of this folder that touches names of ssh2 that are
 * not public.
 * Runs in: user.
 */
import type { Client, ParsedKey, Prompt } from 'ssh2';
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
  | { readonly is: 'change-password'; readonly prompt: string };

type SignatureCallback = (data: Buffer, done: (signature: Buffer) => void) => void;

interface Protocol {
  readonly _handlers: Record<string, (...args: never[]) => void>;
  readonly _authsQueue: string[];
  authNone(user: string): void;
  authPassword(user: string, password: string, newPassword?: string): void;
  authPK(user: string, key: ParsedKey, algorithm: string, sign?: SignatureCallback): void;
  authKeyboard(user: string): void;
  authInfoRes(answers: readonly string[]): void;
}

interface Pending {
  resolve(reply: UserauthReply): void;
  reject(error: Error): void;
}

/** A server that asks for more rounds, prompts or methods than this is not having a login. */
const maxPrompts = 64;
const maxMethods = 64;

/** One request is out at a time; each `exchange` settles with its reply or the connection's end. */
export class UserauthWire {
  readonly #protocol: Protocol;
  #pending: Pending | null = null;
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

  #settle(reply: UserauthReply): void {
    const pending = this.#pending;
    this.#pending = null;
    if (pending) pending.resolve(reply);
    else this.fail(new ClientFailure('connection', 'the server answers what was not asked'));
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

  queryKey(user: string, key: ParsedKey, algorithm: string): Promise<UserauthReply> {
    return this.#exchange(() => this.#protocol.authPK(user, key, algorithm));
  }

  /** `sign` throwing sends nothing: the caller goes on with another key. */
  async proveKey(
    user: string,
    key: ParsedKey,
    algorithm: string,
    sign: (data: Buffer) => Promise<Buffer>,
  ): Promise<UserauthReply> {
    const { data, send } = await new Promise<{ data: Buffer; send: (signature: Buffer) => void }>(
      (resolve) => {
        this.#protocol.authPK(user, key, algorithm, (data, send) => resolve({ data, send }));
      },
    );
    const signature = await sign(data);
    return this.#exchange(() => send(signature));
  }
}

/** Checks the shape of what is relied on, so that another version fails clearly and at once. */
function protocolOf(client: Client): Protocol {
  const protocol = (client as unknown as { _protocol?: Partial<Protocol> })._protocol;
  const isWhole =
    protocol !== undefined &&
    typeof protocol._handlers?.USERAUTH_SUCCESS === 'function' &&
    Array.isArray(protocol._authsQueue) &&
    (['authNone', 'authPassword', 'authPK', 'authKeyboard', 'authInfoRes'] as const).every(
      (name) => typeof protocol[name] === 'function',
    );
  if (!isWhole) throw new Error('ssh2 is not the version that this client was written for');
  return protocol as Protocol;
}
