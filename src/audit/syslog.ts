/**
 * Lines to the machine's log with sshd's severities and prefixes (log.c of OpenSSH, RFC 3164 as
 * syslog(3) writes it). Never waits for it. Runs in: monitor.
 */
import { closeDescriptor } from '../base/socket.native.ts';
import { connectLog, systemLogPath, writeLog } from '../base/syslog.native.ts';
import { LineQueue } from './line-queue.ts';
import type { LogEntry, LogLevel, LogSink } from './log.ts';

const severities: Readonly<Record<LogLevel, number>> = {
  QUIET: 2,
  FATAL: 2,
  ERROR: 3,
  INFO: 6,
  VERBOSE: 6,
  DEBUG1: 7,
  DEBUG2: 7,
  DEBUG3: 7,
};

/** SyslogFacility: codes of RFC 3164 §4.1.1. */
export const syslogFacilities = {
  USER: 1,
  DAEMON: 3,
  AUTH: 4,
  AUTHPRIV: 10,
  LOCAL0: 16,
  LOCAL1: 17,
  LOCAL2: 18,
  LOCAL3: 19,
  LOCAL4: 20,
  LOCAL5: 21,
  LOCAL6: 22,
  LOCAL7: 23,
} as const;
export type SyslogFacility = keyof typeof syslogFacilities;

const months = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

/** `Jan  2 03:04:05`, local time. */
function stamp(now: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const time = [now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join(':');
  return `${months[now.getMonth()]} ${String(now.getDate()).padStart(2)} ${time}`;
}

export interface SyslogOptions {
  /** In front of `[number]:`; fail2ban and others look for `sshd`. */
  readonly tag: string;
  readonly facility: SyslogFacility;
  readonly path?: string;
}

export class SyslogSink implements LogSink {
  readonly #tag: string;
  readonly #facility: number;
  readonly #path: string;
  readonly #queue: LineQueue;
  #descriptor: number | undefined;

  constructor({ tag, facility, path = systemLogPath }: SyslogOptions) {
    this.#tag = tag;
    this.#facility = syslogFacilities[facility];
    this.#path = path;
    this.#queue = new LineQueue({
      write: (line, from, waitMs) => this.#send(line, from, waitMs),
      tellDropped: (count) =>
        this.#packet(
          'ERROR',
          process.pid,
          `error: ${count} lines were dropped: the log was not read`,
        ),
    });
  }

  write(level: LogLevel, prefix: string, line: string, { subject }: LogEntry): void {
    const number = subject?.processNumber ?? process.pid;
    this.#queue.push(this.#packet(level, number, `${prefix}${line}`));
  }

  close(): void {
    this.#queue.flush();
    this.#disconnect();
  }

  #packet(level: LogLevel, number: number, text: string): Buffer {
    const priority = this.#facility * 8 + severities[level];
    return Buffer.from(`<${priority}>${stamp(new Date())} ${this.#tag}[${number}]: ${text}`);
  }

  /** A reader that was started again has another socket: one try on a new connection. */
  #send(line: Buffer, from: number, waitMs: number): number | undefined {
    for (let isFirst = true; ; isFirst = false) {
      const descriptor = this.#connect();
      if (descriptor === undefined) {
        return undefined;
      }
      const written = writeLog(descriptor, line, from, waitMs);
      if (written.is === 'written') {
        return line.length - from;
      }
      if (written.is === 'full') {
        return undefined;
      }
      this.#disconnect();
      if (!isFirst) {
        return undefined;
      }
    }
  }

  #connect(): number | undefined {
    if (this.#descriptor === undefined) {
      try {
        this.#descriptor = connectLog(this.#path);
      } catch {
        // Nobody reads the log, and there is nobody else to tell; the next try may find somebody.
      }
    }
    return this.#descriptor;
  }

  #disconnect(): void {
    if (this.#descriptor !== undefined) {
      closeDescriptor(this.#descriptor);
      this.#descriptor = undefined;
    }
  }
}
