/**
 * The escape of a remote terminal: `~.` at the beginning of a line ends the connection, `~~` is one
 * `~`. Without it a session that hangs could not be left. Runs in: user.
 */

const tilde = 0x7e;
const dot = 0x2e;
const lineEnds: ReadonlySet<number> = new Set([0x0a, 0x0d]);

export class EscapeFilter {
  #isLineStart = true;
  #isPending = false;

  /** What is for the program; `isLeft`: the person wants to go. */
  take(typed: Buffer): { readonly bytes: Buffer; readonly isLeft: boolean } {
    const out: number[] = [];
    for (const byte of typed) {
      if (this.#isPending) {
        this.#isPending = false;
        if (byte === dot) return { bytes: Buffer.from(out), isLeft: true };
        if (byte !== tilde) out.push(tilde);
        out.push(byte);
        this.#isLineStart = lineEnds.has(byte);
      } else if (byte === tilde && this.#isLineStart) {
        this.#isPending = true;
      } else {
        out.push(byte);
        this.#isLineStart = lineEnds.has(byte);
      }
    }
    return { bytes: Buffer.from(out), isLeft: false };
  }
}
