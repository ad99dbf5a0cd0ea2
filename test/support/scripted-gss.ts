/**
 * An initiator of GSSAPI that needs no realm: tokens by a script, for what a server does around
 * them. Runs in: test.
 */
import type { GssStep } from '../../src/base/gss.ts';
import type { GssapiPlan, GssInitiator } from '../../src/ssh/client/method.ts';

const flags = { isMutual: true, isIntegral: true, isDelegated: false };
export const more = (token: string): GssStep => ({
  is: 'more',
  token: Buffer.from(token),
  ...flags,
});
export const complete = (token = '', but: Partial<typeof flags> = {}): GssStep => ({
  is: 'complete',
  token: Buffer.from(token),
  ...flags,
  ...but,
});

/** The steps in order; the last one again and again. `given`: what the server's tokens were. */
export class ScriptedGss implements GssapiPlan {
  readonly delegates = false;
  readonly notes: string[] = [];
  readonly given: string[] = [];
  readonly signed: Buffer[] = [];
  readonly #steps: readonly GssStep[];

  constructor(...steps: readonly GssStep[]) {
    this.#steps = steps;
  }

  open(): GssInitiator {
    let at = 0;
    return {
      step: async (from) => {
        this.given.push(from.toString());
        const step = this.#steps[Math.min(at, this.#steps.length - 1)] as GssStep;
        at += 1;
        return step;
      },
      sign: (bytes) => {
        this.signed.push(bytes);
        return Buffer.from('mic');
      },
    };
  }

  note(text: string): void {
    this.notes.push(text);
  }
}
