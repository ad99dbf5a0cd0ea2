/** The `Authority` of one connection: asks the monitor. Runs in: worker. */
import { ProtocolError } from '../base/errors.ts';
import type { AuthOutcome, Authority } from '../ssh/userauth/authority.ts';
import type { Call } from '../ssh/wire/call.ts';
import type { AnyFields, Values } from '../ssh/wire/field.ts';
import { CallFailure, E2BIG, type Peer } from '../ssh/wire/peer.ts';
import * as link from '../monitor/link.ts';

type Reply = Values<(typeof link.CheckPassword)['reply']>;

function outcomeOf(reply: Reply): AuthOutcome {
  const banner = reply.banner.length === 0 ? {} : { banner: reply.banner };
  switch (reply.is) {
    case link.authIs.accepted:
    case link.authIs.handshake: // for SSH it is over; `isHandshake` says what may follow
      return { is: 'accepted', ...banner };
    case link.authIs.partial:
      return { is: 'partial', canContinue: reply.canContinue, ...banner };
    case link.authIs.refused:
      return {
        is: 'refused',
        canContinue: reply.canContinue,
        ...(reply.token.length === 0 ? {} : { errorToken: reply.token }),
        ...banner,
      };
    case link.authIs.prompt:
      return {
        is: 'prompt',
        name: reply.name,
        instruction: reply.instruction,
        prompts: reply.prompts,
        ...banner,
      };
    case link.authIs.acceptable:
      return { is: 'acceptable', ...banner };
    case link.authIs.mechanism:
      return { is: 'mechanism', mechanism: reply.token };
    case link.authIs.token:
    case link.authIs.lastToken:
      return { is: 'token', token: reply.token, isLast: reply.is === link.authIs.lastToken };
    default:
      return { is: 'disconnect', reason: reply.reason, peerText: reply.peerText, ...banner };
  }
}

export class MonitorAuthority implements Authority {
  readonly #peer: Peer;
  readonly #connection: number;

  /** As claimed; what it may do the monitor knows. */
  user = '';
  /** The account `nx`, whose dialogue is all that follows. */
  isHandshake = false;

  constructor(peer: Peer, connection: number) {
    this.#peer = peer;
    this.#connection = connection;
  }

  async #ask<Q extends AnyFields>(
    request: Call<Q, (typeof link.CheckPassword)['reply']>,
    values: Omit<Values<Q>, 'connection'>,
  ): Promise<AuthOutcome> {
    const complete = { connection: this.#connection, ...values } as unknown as Values<Q>;
    const { values: reply } = await this.#peer.call(request, complete).catch((cause: unknown) => {
      throw cause instanceof CallFailure && cause.code === E2BIG
        ? new ProtocolError(`a message of authentication is too long: ${cause.text}`, { cause })
        : cause;
    });
    this.isHandshake ||= reply.is === link.authIs.handshake;
    return outcomeOf(reply);
  }

  begin(user: Buffer, service: string): Promise<AuthOutcome> {
    this.user = user.toString('utf8');
    return this.#ask(link.UserauthBegin, { user, service });
  }
  none(): Promise<AuthOutcome> {
    return this.#ask(link.TryNone, {});
  }
  password(password: Buffer): Promise<AuthOutcome> {
    return this.#ask(link.CheckPassword, { password });
  }
  keyboardInteractive(submethods: Buffer): Promise<AuthOutcome> {
    return this.#ask(link.StartKeyboardInteractive, { submethods });
  }
  keyboardAnswers(answers: readonly Buffer[]): Promise<AuthOutcome> {
    return this.#ask(link.AnswerKeyboardInteractive, { answers });
  }
  startGssapi(mechanisms: readonly Buffer[]): Promise<AuthOutcome> {
    return this.#ask(link.StartGssapi, { mechanisms });
  }
  gssapiToken(token: Buffer): Promise<AuthOutcome> {
    return this.#ask(link.GssapiToken, { token });
  }
  gssapiMic(mic: Buffer): Promise<AuthOutcome> {
    return this.#ask(link.GssapiMic, { mic });
  }
  queryKey(algorithm: string, blob: Buffer, hostKey: Buffer): Promise<AuthOutcome> {
    return this.#ask(link.QueryKey, { algorithm, blob, hostKey });
  }
  checkKey(
    algorithm: string,
    blob: Buffer,
    signature: Buffer,
    hostKey: Buffer,
  ): Promise<AuthOutcome> {
    return this.#ask(link.CheckKey, { algorithm, blob, signature, hostKey });
  }
  refuseMethod(method: string): Promise<AuthOutcome> {
    return this.#ask(link.RefuseMethod, { method });
  }
}
