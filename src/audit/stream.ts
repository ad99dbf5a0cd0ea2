/**
 * Lines to stderr or to a file, as sshd's -e and -E: no prefix for errors, CR LF at the end. A pipe
 * that nobody reads holds nobody up. Runs in: monitor.
 */
import { constants, openSync } from 'node:fs';
import { ConfigError } from '../base/errors.ts';
import { closeDescriptor } from '../base/socket.native.ts';
import { writeLog } from '../base/syslog.native.ts';
import { LineQueue } from './line-queue.ts';
import type { LogLevel, LogSink } from './log.ts';

export const sshdLineEnd = '\r\n';

/** Every line as it comes to `write`. */
export class StreamSink implements LogSink {
  readonly #write: (text: string) => void;
  readonly #lineEnd: string;

  constructor(write: (text: string) => void, lineEnd = sshdLineEnd) {
    this.#write = write;
    this.#lineEnd = lineEnd;
  }
  write(level: LogLevel, prefix: string, line: string): void {
    const shown = level.startsWith('DEBUG') ? prefix : '';
    this.#write(`${shown}${line}${this.#lineEnd}`);
  }
}

/** -e: a descriptor of others. */
export class DescriptorSink extends StreamSink {
  readonly #queue: LineQueue;

  constructor(descriptor: number, lineEnd = sshdLineEnd) {
    const queue = new LineQueue({
      write(line, from, waitMs) {
        const written = writeLog(descriptor, line, from, waitMs);
        // Its reader is gone or the disk is full: the line is lost, as under sshd.
        const lost = written.is === 'failed' ? line.length - from : undefined;
        return written.is === 'written' ? written.bytes : lost;
      },
      tellDropped: (count) =>
        Buffer.from(`${count} lines were dropped: the log was not read${lineEnd}`),
    });
    super((text) => queue.push(Buffer.from(text)), lineEnd);
    this.#queue = queue;
  }

  close(): void {
    this.#queue.flush();
  }
}

const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NONBLOCK;

/** -E. Throws ConfigError where the file cannot be opened. */
export class FileSink extends DescriptorSink {
  readonly #descriptor: number;

  constructor(path: string, lineEnd = sshdLineEnd) {
    const descriptor = openFile(path);
    super(descriptor, lineEnd);
    this.#descriptor = descriptor;
  }

  override close(): void {
    super.close();
    closeDescriptor(this.#descriptor);
  }
}

function openFile(path: string): number {
  try {
    return openSync(path, flags, 0o600);
  } catch (error) {
    throw new ConfigError(`Couldn't open logfile ${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
