/**
 * What an authentication method is to the service that runs it. Runs in: worker. A method parses and
 * asks; it decides nothing.
 */
import type { Reader } from '../wire/reader.ts';
import type { Authority, AuthOutcome } from './authority.ts';

/** The method's own messages (60–79) that may come next, each with what it does. */
export type MethodMessages = ReadonlyMap<number, (payload: Buffer) => Promise<MethodStep>>;

export type MethodStep =
  /** `before` goes out in front of the answer. */
  | { readonly is: 'outcome'; readonly outcome: AuthOutcome; readonly before?: Buffer }
  /** A message of the method's own, or none. Without `next` the method is over: PK_OK. */
  | {
      readonly is: 'message';
      readonly payload?: Buffer;
      readonly banner?: Buffer;
      readonly next?: MethodMessages;
    };

export interface MethodContext {
  readonly authority: Authority;
}

export interface Method {
  /** RFC 4250 §4.8 */
  readonly name: string;
  /** `fields` is the part of USERAUTH_REQUEST that the method defines. */
  start(fields: Reader, context: MethodContext): Promise<MethodStep>;
}

export async function outcomeOf(answer: Promise<AuthOutcome>): Promise<MethodStep> {
  return { is: 'outcome', outcome: await answer };
}
