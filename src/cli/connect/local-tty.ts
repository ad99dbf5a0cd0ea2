/**
 * The person's terminal under a remote one: raw while the program runs, its size and what is told of
 * it (RFC 4254 §6.2, §8). Runs in: user.
 */
import { spawnSync } from 'node:child_process';
import type { WriteStream } from 'node:tty';
import type { PtyRequest, TerminalSize } from '../../ssh/client/program.ts';
import { Writer } from '../../ssh/wire/writer.ts';

/** RFC 4254 §8 and RFC 8160. */
const mode = { end: 0, iutf8: 42, inputSpeed: 128, outputSpeed: 129 } as const;
const speedBaud = 38_400;
const fallbackSize: TerminalSize = { columns: 80, rows: 24 };

type Environment = Readonly<Record<string, string | undefined>>;

export class LocalTty {
  readonly #isTyped: boolean;
  readonly #screen: WriteStream | null;
  readonly #environment: Environment;
  #saved: string | null = null;
  readonly #onExit = (): void => this.restore();

  constructor(isTyped: boolean, screens: readonly NodeJS.WriteStream[], environment: Environment) {
    this.#isTyped = isTyped;
    this.#screen = (screens.find((each) => each.isTTY) as WriteStream | undefined) ?? null;
    this.#environment = environment;
  }

  get request(): PtyRequest {
    const { LC_ALL, LC_CTYPE, LANG, TERM = '' } = this.#environment;
    const isUtf8 = /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || '');
    const modes = new Writer()
      .byte(mode.iutf8)
      .uint32(isUtf8 ? 1 : 0)
      .byte(mode.inputSpeed)
      .uint32(speedBaud)
      .byte(mode.outputSpeed)
      .uint32(speedBaud)
      .byte(mode.end)
      .done();
    return { term: TERM, size: this.size, modes };
  }

  get size(): TerminalSize {
    const [columns = 0, rows = 0] = this.#screen?.getWindowSize() ?? [];
    return columns > 0 && rows > 0 ? { columns, rows } : fallbackSize;
  }

  /** `changed` runs with each new size until `restore`. */
  watchSize(changed: (size: TerminalSize) => void): void {
    this.#screen?.on('resize', () => changed(this.size));
  }

  /**
   * Every byte goes to the program and every byte of it to the screen. Node's own raw mode leaves
   * the screen's translation of newlines on, which full-screen programs break on.
   */
  makeRaw(): void {
    if (!this.#isTyped || this.#saved !== null) return;
    const saved = stty('-g');
    if (saved === null) return;
    this.#saved = saved;
    process.on('exit', this.#onExit);
    stty('raw', '-echo', '-iexten');
  }

  /** As it was; safe to call at any time. */
  restore(): void {
    this.#screen?.removeAllListeners('resize');
    if (this.#saved === null) return;
    const saved = this.#saved;
    this.#saved = null;
    process.off('exit', this.#onExit);
    stty(saved);
  }
}

/** What it prints; null when it fails: then the terminal stays as it is. */
function stty(...args: readonly string[]): string | null {
  const outcome = spawnSync('stty', args, { stdio: ['inherit', 'pipe', 'ignore'], timeout: 5000 });
  return outcome.status === 0 ? outcome.stdout.toString('latin1').trim() : null;
}
