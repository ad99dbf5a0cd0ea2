/**
 * The daemon's log in sshd's words and levels (sshd_config(5) LogLevel). Lines of a connection carry
 * what they are about; their level may be another once a Match block applies. Control characters
 * are encoded before anything is written (`text.ts`). Runs in: monitor (workers send their lines
 * over their link).
 */
import type { EventDetails } from './events.ts';
import { encodeControls } from './text.ts';

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

/** The connection that a line is about. */
export interface LogSubject {
  /** The same in every line from connect to the last channel; no two connections share one. */
  readonly id: string;
  /** What stands where sshd has the pid of the connection's process: `sshd[NUMBER]`. */
  readonly processNumber: number;
  readonly endpoints: {
    readonly remoteAddress: string;
    readonly remotePort: number;
    readonly localAddress: string;
    readonly localPort: number;
  };
  /** As the log shows it; undefined: none was given yet. */
  readonly loggedUser: string | undefined;
}

/** A line before it was made printable, with what it means. */
export interface LogEntry {
  readonly level: LogLevel;
  readonly line: string;
  readonly details: EventDetails | undefined;
  readonly subject: LogSubject | undefined;
}

/** Where finished lines go; `prefix` is `error: `, `fatal: `, `debug1: ` or empty. */
export interface LogSink {
  write(level: LogLevel, prefix: string, line: string, entry: LogEntry): void;
  /** Nothing is written any more; what waits is written as far as that is possible now. */
  close?(): void;
}

const prefixes: Partial<Record<LogLevel, string>> = {
  FATAL: 'fatal: ',
  ERROR: 'error: ',
  DEBUG1: 'debug1: ',
  DEBUG2: 'debug2: ',
  DEBUG3: 'debug3: ',
};

/** Where a log goes and what it is called, for all that were made of it. */
export interface LogOutlet {
  sink: LogSink;
  tag: string;
}
const defaultTag = 'sshd';

export class Log {
  /** Shared by all that were made of one: they go where it goes. */
  readonly #outlet: LogOutlet;
  readonly #subject: LogSubject | undefined;
  #level: LogLevel;
  #threshold: number;

  constructor(outlet: LogSink | LogOutlet, level: LogLevel, subject?: LogSubject) {
    this.#outlet = 'sink' in outlet ? outlet : { sink: outlet, tag: defaultTag };
    this.#subject = subject;
    this.#level = level;
    this.#threshold = logLevels.indexOf(level);
  }

  /** LogTag: what stands in front of the number in brackets. */
  get tag(): string {
    return this.#outlet.tag;
  }

  /** The same log, for lines about one connection. */
  about(subject: LogSubject): Log {
    return new Log(this.#outlet, this.#level, subject);
  }

  /** A Match block has a word to say. */
  changeLevel(level: LogLevel): void {
    this.#level = level;
    this.#threshold = logLevels.indexOf(level);
  }

  /** The lines from here on go there, of connections too; those keep the level that they have. */
  redirect(sink: LogSink, level: LogLevel, tag = defaultTag): void {
    this.#outlet.sink.close?.();
    this.#outlet.sink = sink;
    this.#outlet.tag = tag;
    this.changeLevel(level);
  }

  /** Before the process ends. */
  close(): void {
    this.#outlet.sink.close?.();
  }

  /** For lines that cost something to make, many times a second. */
  isHeard(level: LogLevel): boolean {
    return logLevels.indexOf(level) <= this.#threshold;
  }

  at(level: LogLevel, line: string, details?: EventDetails): void {
    if (level === 'QUIET' || logLevels.indexOf(level) > this.#threshold) {
      return;
    }
    const entry = { level, line, details, subject: this.#subject };
    this.#outlet.sink.write(level, prefixes[level] ?? '', encodeControls(line), entry);
  }

  fatal(line: string, details?: EventDetails): void {
    this.at('FATAL', line, details);
  }
  error(line: string, details?: EventDetails): void {
    this.at('ERROR', line, details);
  }
  info(line: string, details?: EventDetails): void {
    this.at('INFO', line, details);
  }
  verbose(line: string, details?: EventDetails): void {
    this.at('VERBOSE', line, details);
  }
  debug(line: string, details?: EventDetails): void {
    this.at('DEBUG1', line, details);
  }
}
