/** What everything above the record layer sees of it. Runs in: worker. */
export interface Transport {
  /** H of the first exchange; undefined before it. */
  readonly sessionId: Buffer | undefined;
  /** The peer's identification line without CR LF; empty until it came. */
  readonly peerVersion: string;
  /**
   * Queues one payload (message number first). Payloads of one turn leave in one write. Returns
   * false when more than the high-water mark waits for the socket: wait for `onDrain`. While a key
   * exchange runs, payloads other than its own wait, in order, in a bounded queue.
   */
  send(payload: Buffer): boolean;
  /** Payloads 5–6, 50 and above, and replies; the transport answers 1–4, 7, 20–49 itself.
   *  A throw is turned into a DISCONNECT in one place (`disconnect.ts`). */
  onPayload: (payload: Buffer) => void;
  onDrain: () => void;
  /** After NEWKEYS of the first exchange. */
  onReady: () => void;
  /** Exactly once; nothing comes after it. `error` undefined: the peer closed in order. */
  onClose: (error: Error | undefined, peerReason?: { reason: number; text: string }) => void;
  rekey(): void;
  /** Sends EXT_INFO / starts delayed compression, stops TCP_QUICKACK. Right after SUCCESS is sent. */
  authenticated(): void;
  /** Stops and resumes reading the socket (back-pressure). */
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
  sign(exchange: Exchange): Promise<{ readonly signature: Buffer; readonly hash: Buffer }>;
}

export interface Exchange {
  readonly clientVersion: Buffer;
  readonly serverVersion: Buffer;
  /** Payloads of the KEXINITs, message number first. */
  readonly clientKexInit: Buffer;
  readonly serverKexInit: Buffer;
  readonly hostKey: Buffer;
  readonly kexAlgorithm: string;
  readonly hostKeyAlgorithm: string;
  readonly clientValue: Buffer;
  readonly serverValue: Buffer;
  /** Raw big-endian number; for hybrid exchanges the hash that goes in as a string. */
  readonly sharedSecret: Buffer;
}
