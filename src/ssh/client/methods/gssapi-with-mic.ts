/**
 * Method `gssapi-with-mic` (RFC 4462 §3) with the person's Kerberos tickets. The first token is made
 * before the server is asked: without tickets it hears nothing of this method. Runs in: user.
 */
import { SshdeskError } from '../../../base/errors.ts';
import type { GssStep } from '../../../base/gss.ts';
import { gssapiTokenBytes } from '../../../base/limits.ts';
import {
  GssapiError,
  GssapiErrorToken,
  GssapiMic,
  GssapiResponse,
  GssapiToken,
} from '../../userauth/methods/gssapi-with-mic.ts';
import { UserauthRequest } from '../../userauth/messages.ts';
import { Writer } from '../../wire/writer.ts';
import { ClientFailure } from '../failure.ts';
import { explainTrouble } from '../gssapi-trouble.ts';
import {
  type ClientMethod,
  type GssapiPlan,
  type GssInitiator,
  type MethodContext,
  type Outcome,
} from '../method.ts';
import type { UserauthReply } from '../userauth.seam.ts';

const method = 'gssapi-with-mic';
const service = 'ssh-connection';
/** Kerberos (RFC 1964 §1) in DER; RFC 4462 §2 leaves no room for SPNEGO. */
const kerberos = Buffer.from('06092a864886f712010202', 'hex');
/** Of the server within one attempt; Kerberos needs two. */
const maxMessages = 16;
const maxErrorChars = 1024;
const empty = Buffer.alloc(0);

export const gssapiWithMic: ClientMethod = {
  name: method,
  begin(context) {
    let isTried = false;
    return async () => {
      const { gssapi } = context.plan;
      if (!gssapi || isTried) return null;
      isTried = true;
      return new Attempt(context, gssapi).run();
    };
  },
};

type Step = Exclude<GssStep, { is: 'failed' }>;
/** What of the server's comes next. */
type Phase = 'response' | 'token' | 'verdict' | 'refusal';

class Attempt {
  readonly #context: MethodContext;
  readonly #gssapi: GssapiPlan;
  readonly #gss: GssInitiator;
  #phase: Phase = 'response';
  #first: Buffer = empty;

  constructor(context: MethodContext, gssapi: GssapiPlan) {
    this.#context = context;
    this.#gssapi = gssapi;
    this.#gss = gssapi.open();
  }

  /** Null: the exchange is given up, and the server waits for another method. */
  async run(): Promise<Outcome | null> {
    const step = await this.#gss.step(empty);
    if (step.is === 'failed') return this.#giveUp(step);
    this.#first = step.token;
    // Without mutual authentication a context is complete at once: whoever answers may be anybody.
    if (step.is === 'complete') return this.#objection('the realm does not authenticate the host');
    let reply: UserauthReply | null = await this.#context.wire.askMethod(this.#request());
    for (let count = 0; reply !== null; count += 1) {
      if (count >= maxMessages) throw wrong('never stops sending tokens');
      if (reply.is === 'success' || reply.is === 'failure') return this.#verdict(reply);
      if (reply.is !== 'method-message') throw wrong(`answers with an unexpected ${reply.is}`);
      reply = await this.#handle(reply.payload);
    }
    return null;
  }

  #request(): Buffer {
    const data = new Writer().uint32(1).string(kerberos).done();
    const claimedUser = Buffer.from(this.#context.plan.user);
    return UserauthRequest.encode({ claimedUser, service, method, data });
  }

  /** A server that is content before it has seen a proof has not looked for one. */
  #verdict(reply: Outcome): Outcome {
    const isFavourable = reply.is === 'success' || reply.isPartial;
    if (isFavourable && this.#phase !== 'verdict') {
      throw wrong('lets the login pass before the exchange is over');
    }
    return reply;
  }

  #handle(payload: Buffer): Promise<UserauthReply | null> {
    const number = payload[0];
    if (number === GssapiError.number) return this.#onError(payload);
    if (number === GssapiErrorToken.number) return this.#onErrorToken(payload);
    if (number === GssapiResponse.number && this.#phase === 'response') {
      return this.#onResponse(payload);
    }
    if (number === GssapiToken.number && this.#phase === 'token') return this.#onToken(payload);
    throw wrong(`sends message ${number} where none such belongs`);
  }

  #onResponse(payload: Buffer): Promise<UserauthReply> {
    const { mechanism } = decoded(() => GssapiResponse.decode(payload));
    if (!mechanism.equals(kerberos)) throw wrong('chooses a mechanism that was not offered');
    this.#phase = 'token';
    return this.#context.wire.askMethod(GssapiToken.encode({ token: this.#first }));
  }

  async #onToken(payload: Buffer): Promise<UserauthReply | null> {
    const { token } = decoded(() => GssapiToken.decode(payload));
    const step = await this.#gss.step(bounded(token));
    if (step.is === 'failed') return this.#giveUp(step);
    if (step.is === 'complete') return this.#prove(step);
    if (step.token.length === 0) throw wrong('sends a token that leads nowhere');
    return this.#context.wire.askMethod(GssapiToken.encode({ token: step.token }));
  }

  /** RFC 4462 §3.5 */
  async #prove(step: Step): Promise<UserauthReply | null> {
    const { wire, plan } = this.#context;
    if (!step.isMutual) return this.#objection('the host is not authenticated');
    if (!step.isIntegral) return this.#objection('nothing can be signed in this context');
    if (this.#gssapi.delegates && !step.isDelegated) {
      this.#gssapi.note('Kerberos: this ticket may not be passed on. Remedy: kinit -f.');
    }
    if (step.token.length > 0) wire.sendMethod(GssapiToken.encode({ token: step.token }));
    const { claimedUser, ...rest } = { claimedUser: Buffer.from(plan.user), service, method };
    const signed = Buffer.concat([
      new Writer().string(wire.sessionId).done(),
      UserauthRequest.encode({ claimedUser, ...rest, data: empty }),
    ]);
    this.#phase = 'verdict';
    return wire.askMethod(GssapiMic.encode({ mic: this.#gss.sign(signed) }));
  }

  /** RFC 4462 §3.8: a text for the person; FAILURE follows. */
  #onError(payload: Buffer): Promise<UserauthReply> {
    const { text } = decoded(() => GssapiError.decode(payload));
    const { plan, wire } = this.#context;
    const shown = text.toString('utf8').slice(0, maxErrorChars).replace(/\s+/g, ' ').trim();
    this.#gssapi.note(`Kerberos: ${plan.host} says: ${shown}`);
    this.#phase = 'refusal';
    return wire.nextOfMethod();
  }

  /** RFC 4462 §3.9: the library knows what is in it; FAILURE follows. */
  async #onErrorToken(payload: Buffer): Promise<UserauthReply> {
    const { token } = decoded(() => GssapiErrorToken.decode(payload));
    if (this.#phase === 'token') {
      const step = await this.#gss.step(bounded(token));
      if (step.is === 'failed') this.#tell(step);
    }
    this.#phase = 'refusal';
    return this.#context.wire.nextOfMethod();
  }

  #objection(reason: string): null {
    return this.#giveUp({ is: 'failed', token: empty, trouble: 'protocol', reason });
  }

  #giveUp(step: Extract<GssStep, { is: 'failed' }>): null {
    this.#tell(step);
    if (this.#phase === 'token' && step.token.length > 0) {
      this.#context.wire.sendMethod(GssapiErrorToken.encode({ token: step.token }));
    }
    this.#context.wire.leaveMethod();
    return null;
  }

  #tell({ trouble, reason }: Extract<GssStep, { is: 'failed' }>): void {
    const { isQuiet, text } = explainTrouble(trouble, reason, this.#context.plan.host);
    if (isQuiet) this.#context.remark(text);
    else this.#gssapi.note(text);
  }
}

function wrong(what: string): ClientFailure {
  return new ClientFailure('connection', `GSSAPI: the server ${what}`);
}

function bounded(token: Buffer): Buffer {
  if (token.length === 0) throw wrong('sends an empty token');
  if (token.length > gssapiTokenBytes) throw wrong(`sends a token of ${token.length} bytes`);
  return token;
}

function decoded<T>(decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (error instanceof SshdeskError) throw wrong(`sends a broken message: ${error.detail}`);
    throw error;
  }
}
