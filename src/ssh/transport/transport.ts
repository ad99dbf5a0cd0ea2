/** What everything above the record layer sees of it. Runs in: worker. */
import type { ExchangeValues } from '../wire/exchange-hash.ts';

export interface Transport {
  /** H of the first exchange; undefined before it. */
  readonly sessionId: Buffer | undefined;
  /** The peer's identification line without CR LF; empty until it came. */
  readonly peerVersion: string;
  /**
   * Queues one payload (message number first). Payloads of one turn leave in one write. Returns
   * false when more than the high-water mark waits for the socket: wait for `onDrain`. While a key
   * exchange runs, payloads other than its own wait, in order, in a bounded queue (beyond it the
   * connection ends), so do not write to a payload that was sent.
   */
  send(payload: Buffer): boolean;
  /**
   * CHANNEL_DATA (with `stderr` CHANNEL_EXTENDED_DATA 1) for the peer's channel number. `data` is
   * copied once, into the packet that is encrypted in place; the caller keeps its buffer. Returns
   * what `send` returns. The peer's window and maximum packet are the caller's affair.
   */
  sendChannelData(recipientChannel: number, data: Buffer, stderr?: boolean): boolean;
  /**
   * Payloads 5–6, 50 and above, after the first NEWKEYS; the transport answers 1–4, 7, 20–49 and
   * 192–193 itself, and 8–19 with UNIMPLEMENTED. A throw is turned into a DISCONNECT in one place
   * (`disconnect.ts`). CHANNEL_DATA of 4 KiB and more is lent for the time of the call: the socket
   * is read into the same memory again, so copy what outlives it. Everything else may be kept.
   */
  onPayload: (payload: Buffer) => void;
  onDrain: () => void;
  /** After NEWKEYS of the first exchange. */
  onReady: () => void;
  /** Exactly once; nothing comes after it. `error` undefined: the peer closed in order. */
  onClose: (error: Error | undefined, peerReason?: { reason: number; text: string }) => void;
  /** Begins a key exchange; ignored while one runs. */
  rekey(): void;
  /** RekeyLimit from here on, for the present keys too; before `authenticated`. */
  limitKeys(bounds: { readonly rekeyBytes: number; readonly rekeyMs: number }): void;
  /** Starts delayed compression and rekeying, stops TCP_QUICKACK. Right after SUCCESS is sent. */
  authenticated(): void;
  /**
   * Stops and resumes reading the socket (back-pressure). What was read already (at most two chunks
   * of 64 KiB) is still delivered; while a key exchange runs reading goes on regardless, since
   * `onDrain` waits for its end. An end of file is not noticed while paused.
   */
  pause(): void;
  resume(): void;
  /** UNIMPLEMENTED for the payload that is being handled (RFC 4253 §11.4). */
  unimplemented(): void;
  disconnect(error: Error): void;
  destroy(): void;
}

/** The privileged half of a key exchange (RFC 4253 §8); in the worker it asks the monitor. */
export interface ExchangeSigner {
  /** The 16-byte cookie that the next KEXINIT must carry. */
  takeCookie(): Buffer;
  /**
   * `signature` is the blob of KEXDH_REPLY: string algorithm · string value (RFC 4253 §6.6), its
   * algorithm being `hostKeyAlgorithm`. `hash` is H as the signer computed it.
   */
  sign(exchange: Exchange): Promise<{ readonly signature: Buffer; readonly hash: Buffer }>;
}

export interface Exchange extends ExchangeValues {
  readonly clientVersion: Buffer;
  readonly serverVersion: Buffer;
  readonly clientKexInit: Buffer;
  readonly serverKexInit: Buffer;
  readonly hostKey: Buffer;
  readonly kexAlgorithm: string;
  readonly hostKeyAlgorithm: string;
  readonly clientValue: Buffer;
  readonly serverValue: Buffer;
  readonly sharedSecret: Buffer;
}
