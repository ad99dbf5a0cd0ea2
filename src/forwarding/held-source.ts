/**
 * A source whose first bytes are looked at before anyone gets them; they come first then, and nothing
 * is lost. Runs in: worker.
 */
import type { LendingSource } from '../ssh/connection/pump.ts';

export class HeldSource implements LendingSource {
  readonly #source: LendingSource;
  #held: Buffer = Buffer.alloc(0);
  #take: ((chunk: Buffer) => void) | undefined;
  #onEnd: ((error?: Error) => void) | undefined;
  #end: { readonly error: Error | undefined } | undefined;

  /**
   * Reads at once. `look` is called with all that came so far, whenever more has come, until `start`;
   * it says how much may be held, by pausing or destroying. `onEnd`: it ended before `start`.
   */
  constructor(source: LendingSource, look: (soFar: Buffer) => void, onEnd: () => void) {
    this.#source = source;
    source.start(
      (chunk) => {
        if (this.#take !== undefined) {
          this.#take(chunk);
          return;
        }
        this.#held = Buffer.concat([this.#held, chunk]);
        look(this.#held);
      },
      (error) => {
        this.#end = { error };
        if (this.#onEnd === undefined) {
          onEnd();
        } else {
          this.#onEnd(error);
        }
      },
    );
  }

  start(take: (chunk: Buffer) => void, end: (error?: Error) => void): void {
    this.#take = take;
    this.#onEnd = end;
    const held = this.#held;
    this.#held = Buffer.alloc(0);
    this.#source.resume();
    if (held.length > 0) {
      take(held);
    }
    if (this.#end !== undefined) {
      end(this.#end.error);
    }
  }

  pause(): void {
    this.#source.pause();
  }

  resume(): void {
    this.#source.resume();
  }

  destroy(): void {
    this.#source.destroy();
  }
}
