/**
 * A channel as Node streams, for code that is not bulk. Runs in: worker.
 * The streams never emit `'error'`: when the channel ends early they are destroyed, and `'close'`
 * says so.
 */
import { Duplex, Writable } from 'node:stream';

/** Of an `Outlet`, what a stream needs. */
interface StreamedOutlet {
  write(chunk: Buffer): boolean;
  onDrain: () => void;
}

/** Of a `Channel`, what a stream needs. */
interface StreamedChannel {
  readonly out: StreamedOutlet;
  readonly isClosed: boolean;
  sinkReady(): void;
  sendEof(): void;
  close(): void;
  abort(): void;
  onClose(listener: () => void): void;
}

const highWaterMarkBytes = 64 * 1024;

/** Writes one chunk to an outlet; `done` comes when the next one may be written. */
function writeChunk(outlet: StreamedOutlet, chunk: Buffer, done: () => void): void {
  if (outlet.write(chunk)) {
    done();
  } else {
    outlet.onDrain = () => {
      outlet.onDrain = () => {};
      done();
    };
  }
}

/** Bytes from the client are read, bytes written go to the client; `end()` is EOF. */
export class ChannelDuplex extends Duplex {
  readonly #channel: StreamedChannel;
  readonly sink: { write(data: Buffer): boolean; end(): void };

  constructor(channel: StreamedChannel) {
    super({ highWaterMark: highWaterMarkBytes, allowHalfOpen: true, decodeStrings: true });
    this.#channel = channel;
    this.sink = {
      write: (data) => this.push(data),
      end: () => {
        this.push(null);
        this.#leaveIfClosed();
      },
    };
    channel.onClose(() => this.#leaveIfClosed());
  }

  override _read(): void {
    this.#channel.sinkReady();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    writeChunk(this.#channel.out, chunk, done);
  }

  override _final(done: () => void): void {
    this.#channel.sendEof();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (error !== null) {
      this.#channel.abort();
    } else if (!this.writableFinished) {
      this.#channel.close();
    }
    done(null);
  }

  /** What the client sent before it closed can still be read. */
  #leaveIfClosed(): void {
    if (!this.#channel.isClosed) {
      return;
    }
    if (this.readableEnded || this.readableLength === 0) {
      this.destroy();
    } else {
      this.once('end', () => this.destroy());
    }
  }
}

export class OutletWritable extends Writable {
  readonly #outlet: StreamedOutlet;

  constructor(outlet: StreamedOutlet) {
    super({ highWaterMark: highWaterMarkBytes, decodeStrings: true });
    this.#outlet = outlet;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    writeChunk(this.#outlet, chunk, done);
  }
}
