/**
 * One page's WebSocket (RFC 6455) and the desktop's channel behind it, tied together so that neither
 * side is read faster than the other takes it. Runs in: user.
 */
import type { RawData, WebSocket } from 'ws';
import type { Subsystem } from '../../ssh/client/session.ts';

/** Why a socket is closed (RFC 6455 §7.4.2: 4000–4999 are for applications). page.js has them too. */
export const closeCodes = {
  desktopEnded: 4000,
  connectionLost: 4001,
  shownElsewhere: 4002,
  clientEnded: 4003,
  desktopFailed: 4004,
} as const;

export type PageEnd =
  | { readonly by: 'page' }
  /** `status`: of the channel; null when none came. */
  | { readonly by: 'desktop'; readonly status: number | null };

/** Waiting in this process for a browser that does not read. */
const outputHighBytes = 1024 * 1024;
const outputLowBytes = 256 * 1024;
/** What a browser takes to answer a close, before its socket is cut. */
const closeTimeoutMs = 2000;
/** What a server takes to say how it ended, after its last byte. */
const statusTimeoutMs = 5000;
/** RFC 6455 §5.5: 125 bytes of payload, less the code. */
const maxReasonBytes = 123;

export class ViewerSocket {
  readonly #socket: WebSocket;
  /** Resolves when the page's side is gone. */
  readonly closed: Promise<void>;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    // Until there is a channel nothing is taken: the desktop speaks first.
    socket.pause();
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    // A frame too large, a broken one, a reset: `close` follows, and that is its end.
    socket.on('error', () => undefined);
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  /** Says why; the page shows it. */
  close(code: number, reason: string): void {
    this.#socket.resume();
    this.#socket.close(code, boundedReason(reason));
    const cut = setTimeout(() => this.#socket.terminate(), closeTimeoutMs);
    void this.closed.then(() => clearTimeout(cut));
  }

  /** Resolves when either side has ended. The channel is closed then; the socket only by the page. */
  async relay(channel: Subsystem): Promise<PageEnd> {
    const socket = this.#socket;
    const onMessage = (data: RawData, isBinary: boolean): void => {
      if (!isBinary) socket.close(1003);
      else if (!channel.write(data as Buffer)) socket.pause();
    };
    const onDrain = (): void => socket.resume();
    const onSent = (): void => {
      if (channel.isPaused() && socket.bufferedAmount < outputLowBytes) channel.resume();
    };
    const onData = (chunk: Buffer): void => {
      socket.send(chunk, onSent);
      if (socket.bufferedAmount > outputHighBytes) channel.pause();
    };
    socket.on('message', onMessage);
    channel.on('drain', onDrain).on('data', onData);
    socket.resume();
    const ended = endOf(channel);
    const left = this.closed.then((): PageEnd => ({ by: 'page' }));
    try {
      return await Promise.race([left, ended]);
    } finally {
      socket.off('message', onMessage);
      channel.off('drain', onDrain);
      channel.resume();
      channel.close();
    }
  }
}

function endOf(channel: Subsystem): Promise<PageEnd> {
  return new Promise((resolve) => {
    let patience: NodeJS.Timeout | undefined;
    const end = (status: number | null): void => {
      clearTimeout(patience);
      resolve({ by: 'desktop', status });
    };
    const wait = (): void => {
      patience ??= setTimeout(() => end(null), statusTimeoutMs);
    };
    channel.on('error', wait).on('end', wait);
    channel.on('close', (status: number | null | undefined) => end(status ?? null));
  });
}

/** Cut between characters: a close frame with broken UTF-8 is a protocol error. */
function boundedReason(text: string): string {
  let bounded = text.replace(/\s+/g, ' ').trim().slice(0, maxReasonBytes);
  while (Buffer.byteLength(bounded) > maxReasonBytes) bounded = bounded.slice(0, -1);
  return bounded.isWellFormed() ? bounded : bounded.slice(0, -1);
}
