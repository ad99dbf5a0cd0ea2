/**
 * What a method of the client's login is given, and what it may come to (RFC 4252 §5). Runs in: user.
 */
import type { GssStep } from '../../base/gss.ts';
import { ClientFailure } from './failure.ts';
import type { Identity } from './identities.ts';
import type { UserauthReply, UserauthWire } from './userauth.seam.ts';

export interface Question {
  readonly text: string;
  readonly isEchoed: boolean;
}

/** The person. All texts are the server's, and untrusted, unless the caller made them. */
export interface Conversation {
  show(text: string): void;
  /** One answer for each question; rejects when nobody answers. */
  ask(questions: readonly Question[]): Promise<string[]>;
}

/** One exchange of GSSAPI with the person's tickets. */
export interface GssInitiator {
  /** `from`: the server's token, empty to begin. */
  step(from: Buffer): Promise<GssStep>;
  sign(bytes: Buffer): Buffer;
}

export interface GssapiPlan {
  /** The tickets go along. */
  readonly delegates: boolean;
  open(): GssInitiator;
  /** What the person should know although nobody is asked. */
  note(text: string): void;
}

export interface UserauthPlan {
  readonly user: string;
  readonly host: string;
  /** Allowed methods, most wanted first. */
  readonly methods: readonly string[];
  readonly identities: readonly Identity[];
  /** Null: no tickets are to be used. */
  readonly gssapi: GssapiPlan | null;
  /** Null: nobody may be asked. */
  readonly conversation: Conversation | null;
  /** How often a password or a dialogue is tried. */
  readonly promptAttempts: number;
}

export type Failure = Extract<UserauthReply, { is: 'failure' }>;
export type Outcome = Extract<UserauthReply, { is: 'success' | 'failure' }>;

export interface MethodContext {
  readonly wire: UserauthWire;
  readonly plan: UserauthPlan;
  /** Why a method could not be tried, for whom every other one is refused too. */
  remark(text: string): void;
}

export interface ClientMethod {
  readonly name: string;
  /** Called for each factor; what it gives is called until it has nothing left to try: null. */
  begin(context: MethodContext): () => Promise<Outcome | null>;
}

/** Of prompts within one attempt. */
export const maxRounds = 128;

/** A reply that belongs to no running dialogue ends the login. */
export function outcomeOf(reply: UserauthReply): Outcome {
  if (reply.is === 'success' || reply.is === 'failure') return reply;
  throw new ClientFailure('connection', `the server answers with an unexpected ${reply.is}`);
}

export function tooManyRounds(): ClientFailure {
  return new ClientFailure('authentication', 'the server never stops asking');
}
