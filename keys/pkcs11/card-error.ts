/**
 * What a card, or the module that speaks with it, could not do; `detail` is for a person.
 * Runs in: user (client), monitor (host keys).
 */
import { SshdeskError } from '../../src/base/errors.ts';
import type { ErrorOptionsWithCause } from '../../src/base/errors.ts';
import { isGone, result, resultName } from './cryptoki.ts';

export class CardError extends SshdeskError {
  readonly code = 'SSHDESK_CARD';
  /** A CK_RV, or one of `failure` of calls.ts; undefined: the module's process has ended. */
  readonly result: number | undefined;
  constructor(detail: string, code?: number, options?: ErrorOptionsWithCause) {
    super(detail, options);
    this.result = code;
  }

  /** The card was pulled, or the process with the module has ended. */
  get isGone(): boolean {
    return this.result === undefined || isGone(this.result);
  }
}

const meanings: ReadonlyMap<number, string> = new Map([
  [result.pinIncorrect, 'the PIN is wrong; it was not tried again'],
  [result.pinInvalid, 'the PIN holds characters that this card does not take'],
  [result.pinLengthRange, 'the PIN is too short or too long for this card'],
  [result.pinExpired, 'the PIN has expired: set a new one with the tools of the card'],
  [result.pinLocked, 'the PIN is locked: unlock it with the tools of the card (its PUK)'],
  [result.userPinNotInitialized, 'no PIN has been set yet'],
  [result.userNotLoggedIn, 'it wants its PIN first'],
  [result.functionCanceled, 'it was cancelled at the reader'],
  [result.keyHandleInvalid, 'there is no private key to this public one, or it is hidden'],
]);

/** What a CK_RV means, with its name behind it for whoever looks it up. */
export function meaningOf(code: number): string {
  const name = resultName(code);
  const meaning = isGone(code) ? 'the card was removed' : meanings.get(code);
  return meaning === undefined ? `the card says ${name}` : `${meaning} (${name})`;
}
