/**
 * Bulk between a channel and pipes or sockets, past the Duplex: a chunk that was read is what is
 * sent, a view that was received is what is written. Runs in: worker.
 */
import { Duplex, Readable, type Writable } from 'node:stream';
import { flushAfterCloseMs, sourceTurnBytes } from '../../base/limits.ts';
import type { DirectWritable } from '../transport/output.ts';
import type { Channel } from './channel.ts';
import type { Outlet } from './outlet.ts';

/**
 * A source that reads into the same memory again and again: no garbage at any speed. A chunk is lent
 * for the time of the call; after `pause()` none comes until `resume()`.
 */
export interface LendingSource {
  /** Once. `end` is called once, after the last chunk. */
  start(take: (chunk: Buffer) => void, end: (error?: Error) => void): void;
  pause(): void;
  resume(): void;
  destroy(): void;
}

/** What is asked of an outlet here; a process that is a subsystem itself has another one. */
export type PumpOutlet = Pick<Outlet, 'write' | 'writeLent' | 'onDrain' | 'onUnwanted'>;
/** The same of a channel's input. */
export type FeedChannel = Pick<Channel, 'receive' | 'sinkReady' | 'discardInput'>;

/** A stream may be one too (`DescriptorSocket`): it is then read as one. */
function isLending(source: Readable | LendingSource): source is LendingSource {
  // A file's stream has a `start` too: the place where it begins.
  return 'start' in source && typeof source.start === 'function';
}

/**
 * Sends what `source` gives, until its end or error; then calls `onEnd` once. At most
 * `sourceTurnBytes` go out in a row: libuv would read 2 MiB from a full pipe before anyone else is
 * served.
 */
export function pump(
  source: Readable | LendingSource,
  outlet: PumpOutlet,
  onEnd: (error?: Error) => void,
): void {
  let sentInTurn = 0;
  let isBlocked = false;
  let isResting = false;
  let isEnded = false;
  const resume = (): void => {
    if (!isBlocked && !isResting) {
      source.resume();
    }
  };
  const end = (error?: Error): void => {
    if (!isEnded) {
      isEnded = true;
      onEnd(error);
    }
  };
  const count = (bytes: number, hasRoom: boolean): void => {
    sentInTurn += bytes;
    if (!hasRoom) {
      isBlocked = true;
      source.pause();
    }
    if (sentInTurn >= sourceTurnBytes) {
      sentInTurn = 0;
      isResting = true;
      source.pause();
      setImmediate(() => {
        isResting = false;
        resume();
      });
    }
  };
  outlet.onDrain = () => {
    isBlocked = false;
    resume();
  };
  // A process that writes on gets SIGPIPE, as with sshd; of a socket the other direction lives.
  outlet.onUnwanted = () => {
    if (!(source instanceof Duplex && source.writable)) {
      source.destroy();
    }
  };
  if (!isLending(source)) {
    source.on('data', (chunk: Buffer) => count(chunk.length, outlet.write(chunk)));
    source.on('end', () => end());
    source.on('error', end);
    source.on('close', () => end());
  } else {
    source.start((chunk) => count(chunk.length, outlet.writeLent(chunk)), end);
  }
}

/** Reads what nobody wants, so that whoever writes it is not held up; then calls `onEnd` once. */
export function drain(source: Readable | LendingSource, onEnd: () => void): void {
  if (isLending(source)) {
    source.start(() => {}, onEnd);
    return;
  }
  let isEnded = false;
  const end = (): void => {
    if (!isEnded) {
      isEnded = true;
      onEnd();
    }
  };
  source.resume();
  source.on('error', end);
  source.on('close', end);
}

/** How far the reader of a target may fall behind what it was given. */
export interface Pace {
  /** false: no more for now; `onRoom` follows. */
  take(chunk: Buffer): boolean;
  readonly isFull: boolean;
  /** Set by whoever feeds. */
  onRoom: () => void;
}

/** Writes what is only lent; what the target does not take at once is copied. */
function writeLent(target: DirectWritable, data: Buffer): boolean {
  const taken = target.writeNow?.(data) ?? 0;
  return taken === data.length || target.write(Buffer.from(data.subarray(taken)));
}

/**
 * Gives what the client sends to `target`; EOF ends it. `onGone`: the target takes no more, by its
 * own end or an error. `unread` goes first. `pace`: what more there is to wait for than the target.
 */
export function feed(
  channel: FeedChannel,
  target: DirectWritable,
  onGone: (error?: Error) => void,
  unread?: Buffer,
  pace?: Pace,
): void {
  let isGone = false;
  let isEnding = false;
  const gone = (error?: Error): void => {
    if (!isGone) {
      isGone = true;
      if (!isEnding) {
        channel.discardInput();
      }
      onGone(error);
    }
  };
  target.on('drain', () => {
    if (pace?.isFull !== true) {
      channel.sinkReady();
    }
  });
  if (pace !== undefined) {
    pace.onRoom = () => {
      if (!target.writableNeedDrain) {
        channel.sinkReady();
      }
    };
  }
  const isOnPace = (data: Buffer): boolean => pace === undefined || pace.take(data);
  target.on('error', gone);
  target.on('close', () => gone());
  channel.receive(
    {
      write: (data) => {
        const hasTime = isOnPace(data);
        return isGone || (target.write(data) && hasTime);
      },
      writeLent: (data) => {
        const hasTime = isOnPace(data);
        return isGone || (writeLent(target, data) && hasTime);
      },
      end: () => {
        isEnding = true;
        target.end();
      },
    },
    unread,
  );
}

/**
 * Joins a channel and a socket: bytes both ways, EOF each way on its own, CLOSE when both have
 * ended. `unread` is what a dialogue read from the channel and leaves to the socket. A dialogue that
 * ends in this writes through `channel.out`, not through `channel.stream`. `source`: what is read in
 * place of the socket itself.
 */
export function splice(
  channel: Channel,
  socket: Duplex,
  unread?: Buffer,
  source: Readable | LendingSource = socket,
): void {
  let isRead = false;
  let isWritten = false;
  const closeWhenOver = (): void => {
    if (isRead && isWritten) {
      channel.close();
    }
  };
  pump(source, channel.out, () => {
    isRead = true;
    channel.sendEof();
    closeWhenOver();
  });
  feed(
    channel,
    socket,
    () => {
      isWritten = true;
      closeWhenOver();
    },
    unread,
  );
  socket.on('finish', () => {
    isWritten = true;
    closeWhenOver();
  });
  channel.onClose(() => destroyWhenWritten(socket));
}

/** For a stream whose channel has closed: what it was given still goes out, within a limit. */
export function destroyWhenWritten(target: Writable): void {
  if (target.writableFinished || target.destroyed) {
    target.destroy();
    return;
  }
  const limit = setTimeout(() => target.destroy(), flushAfterCloseMs);
  target.once('finish', () => target.destroy());
  target.once('close', () => clearTimeout(limit));
}
