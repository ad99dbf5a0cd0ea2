/**
 * Several factors on one connection of a raw client: what each attempt was answered with.
 * Runs in: test.
 */
import { Fields, no, payload, type RawKey, type RawOptions, RawSsh, str } from './raw-ssh.ts';
import { type Answer, keyboardInteractive } from './userauth.ts';

/** `accepted`; `closed`, with the text of DISCONNECT; or the lists of FAILURE. */
export type Reply = string;

export function replyOf(bytes: Buffer | undefined): Reply {
  if (bytes === undefined) {
    return 'closed';
  }
  const fields = new Fields(bytes);
  switch (bytes[0]) {
    case 1:
      return `closed ${fields.u32()}: ${fields.str().toString()}`;
    case 51: {
      const methods = fields.str().toString();
      return fields.byte() === 0 ? `refused: ${methods}` : `partial: ${methods}`;
    }
    case 52:
      return 'accepted';
    case 60:
      return 'acceptable';
    default:
      return `message ${bytes[0]}`;
  }
}

export class FactorClient {
  readonly raw: RawSsh;
  readonly user: string;

  private constructor(raw: RawSsh, user: string) {
    this.raw = raw;
    this.user = user;
  }

  static async open(port: number, user: string, options?: RawOptions): Promise<FactorClient> {
    const raw = await RawSsh.shaken(port, options);
    await raw.requestUserauth();
    return new FactorClient(raw, user);
  }

  [Symbol.dispose](): void {
    this.raw.close();
  }

  async #reply(): Promise<Reply> {
    for (;;) {
      const bytes = await this.raw.next(20_000);
      if (bytes?.[0] !== 53) {
        return replyOf(bytes);
      }
    }
  }

  #ask(method: string, ...fields: readonly Buffer[]): Promise<Reply> {
    this.raw.send(payload(50, str(this.user), str('ssh-connection'), str(method), ...fields));
    return this.#reply();
  }

  none(): Promise<Reply> {
    return this.#ask('none');
  }
  /** Any method's name with fields that fit none. */
  method(name: string, ...fields: readonly Buffer[]): Promise<Reply> {
    return this.#ask(name, ...fields);
  }
  password(word: string): Promise<Reply> {
    return this.#ask('password', no, str(word));
  }
  query(key: RawKey): Promise<Reply> {
    return this.#ask('publickey', no, str('ssh-ed25519'), str(key.blob));
  }
  sign(key: RawKey): Promise<Reply> {
    this.raw.send(this.raw.signedRequest(this.user, key));
    return this.#reply();
  }
  /** The dialogue to its end; its answer and what was shown. */
  async keyboard(
    answers: readonly Answer[],
    submethods = '',
  ): Promise<{ readonly reply: Reply; readonly shown: readonly string[] }> {
    const dialogue = await keyboardInteractive(this.raw, this.user, answers, submethods);
    return { reply: replyOf(dialogue.last), shown: dialogue.shown };
  }
}
