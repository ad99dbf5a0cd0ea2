/**
 * The daemon's log in sshd's words and levels (sshd_config(5) LogLevel). Control characters are
 * encoded before anything is written, so that a name cannot forge a line or drive a terminal.
 * Runs in: monitor (workers send their lines over their link).
 */
export const logLevels = [
  'QUIET',
  'FATAL',
  'ERROR',
  'INFO',
  'VERBOSE',
  'DEBUG1',
  'DEBUG2',
  'DEBUG3',
] as const;
export type LogLevel = (typeof logLevels)[number];

/** Where finished lines go; `prefix` is `error: `, `fatal: `, `debug1: ` or empty. */
export interface LogSink {
  write(level: LogLevel, prefix: string, line: string): void;
  /** Nothing is written any more. */
  close?(): void;
}

const maxLineCharacters = 2048;
const prefixes: Partial<Record<LogLevel, string>> = {
  FATAL: 'fatal: ',
  ERROR: 'error: ',
  DEBUG1: 'debug1: ',
  DEBUG2: 'debug2: ',
  DEBUG3: 'debug3: ',
};

/** C-style as vis(3): `\n` becomes `\012`. Printable UTF-8 stays. */
export function encodeControls(text: string): string {
  const cut = text.length > maxLineCharacters ? `${text.slice(0, maxLineCharacters)}…` : text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return cut.replace(
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (found) =>
      [...Buffer.from(found)].map((value) => `\\${value.toString(8).padStart(3, '0')}`).join(''),
  );
}

export class Log {
  #sink: LogSink;
  #threshold: number;

  constructor(sink: LogSink, level: LogLevel) {
    this.#sink = sink;
    this.#threshold = logLevels.indexOf(level);
  }

  /** The lines from here on go there. */
  redirect(sink: LogSink, level: LogLevel): void {
    this.#sink.close?.();
    this.#sink = sink;
    this.#threshold = logLevels.indexOf(level);
  }

  at(level: LogLevel, line: string): void {
    if (level === 'QUIET' || logLevels.indexOf(level) > this.#threshold) {
      return;
    }
    this.#sink.write(level, prefixes[level] ?? '', encodeControls(line));
  }

  fatal(line: string): void {
    this.at('FATAL', line);
  }
  error(line: string): void {
    this.at('ERROR', line);
  }
  info(line: string): void {
    this.at('INFO', line);
  }
  verbose(line: string): void {
    this.at('VERBOSE', line);
  }
  debug(line: string): void {
    this.at('DEBUG1', line);
  }
}

/** Lines to a descriptor or file, as sshd's -e and -E: no prefix for errors, CR LF at the end. */
export class StreamSink implements LogSink {
  readonly #write: (text: string) => void;
  readonly close: () => void;
  constructor(write: (text: string) => void, close: () => void = () => {}) {
    this.#write = write;
    this.close = close;
  }
  write(level: LogLevel, prefix: string, line: string): void {
    const shown = level.startsWith('DEBUG') ? prefix : '';
    this.#write(`${shown}${line}\r\n`);
  }
}
