/**
 * LogFormat json: one line of JSON per line of the log, with what it means (docs/reference/log.md).
 * ASCII alone, so that no character of a client's drives a terminal here either. Runs in: monitor.
 */
import type { LogEntry, LogLevel, LogSink } from './log.ts';
import { cutLine } from './text.ts';

/** Fields of every line; those of a connection stand in all lines about it. */
export const jsonFields = {
  time: 'when, in UTC (RFC 3339, milliseconds)',
  level: 'as LogLevel names it',
  event: 'what it means, see below',
  message: 'the line of the other format, without prefix, not encoded',
  pid: 'the number that the other format has in brackets',
  connection: 'the connection: the same in all of its lines, in no line of another',
  address: "the client's address",
  port: "the client's port",
  localAddress: 'the address that the client reached',
  localPort: 'the port that the client reached',
} as const;

function isShown(value: unknown): boolean {
  return value !== undefined && value !== '';
}

export function jsonLine({ level, line, details, subject }: LogEntry, now: Date): string {
  const { event = 'message', ...fields } = details ?? {};
  const about = subject?.endpoints;
  const record = {
    time: now.toISOString(),
    level,
    event,
    message: line,
    pid: subject?.processNumber ?? process.pid,
    connection: subject?.id,
    address: about?.remoteAddress,
    port: about?.remotePort,
    localAddress: about?.localAddress,
    localPort: about?.localPort,
    user: subject?.loggedUser,
    ...fields,
  };
  const shown = Object.fromEntries(
    Object.entries(record)
      .filter(([, value]) => isShown(value))
      .map(([name, value]) => [name, typeof value === 'string' ? cutLine(value) : value]),
  );
  return JSON.stringify(shown).replace(
    /[\u007f-\uffff]/g,
    (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export class JsonSink implements LogSink {
  readonly #inner: LogSink;

  constructor(inner: LogSink) {
    this.#inner = inner;
  }
  write(level: LogLevel, _prefix: string, _line: string, entry: LogEntry): void {
    this.#inner.write(level, '', jsonLine(entry, new Date()), entry);
  }
  close(): void {
    this.#inner.close?.();
  }
}
