/**
 * The person at the terminal: questions with and without echo on /dev/tty, texts and one line of
 * progress on stderr. Runs in: user.
 */
import { closeSync, openSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import type { Question } from '../../ssh/client/method.ts';
import { printable, printableLine } from './printable.ts';

/** The person has typed Ctrl-C at a question. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

const maxAnswerBytes = 16 * 1024;

export class Terminal {
  readonly #stderr: NodeJS.WriteStream;
  readonly #isProgressShown: boolean;
  #progress = '';
  /** -q: what goes on all the same is not said. */
  isQuiet = false;
  #input: ReadStream | null = null;

  constructor(stderr: NodeJS.WriteStream) {
    this.#stderr = stderr;
    this.#isProgressShown = stderr.isTTY === true;
  }

  /** Replaces the line of progress; empty clears it. Only ever on a terminal. */
  progress(text: string): void {
    if (!this.#isProgressShown) return;
    if (this.#progress !== '') this.#stderr.write('\r\x1b[K');
    this.#progress = printableLine(text).slice(0, Math.max(0, (this.#stderr.columns || 80) - 1));
    this.#stderr.write(this.#progress);
  }

  /** A text that may come from the server; the line of progress comes back with the next step. */
  show(text: string): void {
    this.progress('');
    this.#stderr.write(printable(text));
  }

  line(text: string): void {
    if (this.isQuiet && text.startsWith('Warning: ')) return;
    this.show(text.endsWith('\n') ? text : `${text}\n`);
  }

  /** Null when there is no terminal to ask on. */
  async ask(questions: readonly Question[]): Promise<string[] | null> {
    this.progress('');
    const tty = openTerminal();
    if (!tty) return null;
    this.#input = tty;
    try {
      tty.setRawMode(true);
      const answers: string[] = [];
      const lines = new LineReader(tty, (text) => this.#stderr.write(text));
      for (const question of questions) {
        this.#stderr.write(printable(question.text).replace(/\n/g, '\r\n'));
        const bytes = await lines.read(question.isEchoed);
        answers.push(bytes.toString('utf8'));
        bytes.fill(0);
      }
      return answers;
    } finally {
      this.restore();
    }
  }

  /** One answer without echo, as bytes that the caller erases. Null when there is no terminal. */
  async askSecret(text: string): Promise<Buffer | null> {
    this.progress('');
    const tty = openTerminal();
    if (!tty) return null;
    this.#input = tty;
    try {
      tty.setRawMode(true);
      this.#stderr.write(`${printableLine(text)} `);
      return await new LineReader(tty, (echo) => this.#stderr.write(echo)).read(false);
    } finally {
      this.restore();
    }
  }

  /** Gives the terminal back as it was; safe to call at any time, also from a signal. */
  restore(): void {
    this.progress('');
    const tty = this.#input;
    this.#input = null;
    if (!tty) return;
    tty.setRawMode(false);
    tty.destroy();
  }
}

function openTerminal(): ReadStream | null {
  let fd: number;
  try {
    fd = openSync('/dev/tty', 'r+');
  } catch {
    // No controlling terminal (ENXIO) is an answer, not a failure: the caller does without.
    return null;
  }
  try {
    return new ReadStream(fd);
  } catch {
    closeSync(fd);
    return null;
  }
}

/** Edits lines in raw mode, where the echo is ours to give or withhold. */
class LineReader {
  readonly #tty: ReadStream;
  readonly #echo: (text: string | Buffer) => void;
  #typed: Buffer = Buffer.alloc(0);

  constructor(tty: ReadStream, echo: (text: string | Buffer) => void) {
    this.#tty = tty;
    this.#echo = echo;
  }

  /** Bytes typed ahead of a question stay for the next one. What is returned is the only copy. */
  async read(isEchoed: boolean): Promise<Buffer> {
    const line: number[] = [];
    for (;;) {
      const byte = await this.#next();
      if (byte === 0x0d || byte === 0x0a) break;
      if (byte === 0x03) {
        this.#echo('\r\n');
        throw new Interrupted('interrupted');
      }
      if (byte === null || (byte === 0x04 && line.length === 0)) break;
      this.#edit(line, byte, isEchoed);
    }
    this.#echo('\r\n');
    const bytes = Buffer.from(line);
    line.fill(0);
    return bytes;
  }

  #edit(line: number[], byte: number, isEchoed: boolean): void {
    if (byte === 0x7f || byte === 0x08) {
      if (dropCharacter(line) && isEchoed) this.#echo('\b \b');
    } else if (byte === 0x15) {
      while (dropCharacter(line)) if (isEchoed) this.#echo('\b \b');
    } else if (line.length < maxAnswerBytes && byte !== 0) {
      line.push(byte);
      if (isEchoed) this.#echoByte(byte);
    }
  }

  #echoByte(byte: number): void {
    if (byte >= 0x20) this.#echo(Buffer.of(byte));
  }

  async #next(): Promise<number | null> {
    while (this.#typed.length === 0) {
      const chunk = await nextChunk(this.#tty);
      if (!chunk) return null;
      this.#typed = chunk;
    }
    const byte = this.#typed[0] ?? null;
    this.#typed.fill(0, 0, 1);
    this.#typed = this.#typed.subarray(1);
    return byte;
  }
}

/** Takes one character of UTF-8 off the end. */
function dropCharacter(line: number[]): boolean {
  if (line.length === 0) return false;
  let last = line.pop() ?? 0;
  while ((last & 0xc0) === 0x80 && line.length > 0) last = line.pop() ?? 0;
  return true;
}

function nextChunk(tty: ReadStream): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const finish = (chunk: Buffer | null): void => {
      tty.pause();
      tty.off('data', finish).off('end', onEnd).off('error', onEnd).off('close', onEnd);
      resolve(chunk);
    };
    const onEnd = (): void => finish(null);
    tty.on('data', finish).on('end', onEnd).on('error', onEnd).on('close', onEnd);
    tty.resume();
  });
}
