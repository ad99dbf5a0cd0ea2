/** The bounds of one connection's transport, each with its reason. Runs in: worker. */
export const limits = {
  /** RFC 4253 §4.2: the identification line with CR LF. */
  identificationBytes: 255,
  /** Read and handled from one connection per turn of the loop, then the others (fairness). */
  inputPerTurnBytes: 256 * 1024,
  /** CHANNEL_DATA from this size on is handed up as a view, all else as a copy. */
  viewBytes: 4096,
  /** `send` answers false above the first; `onDrain` comes below the second. */
  outputHighBytes: 256 * 1024,
  outputLowBytes: 128 * 1024,
  /** A peer that asks without reading its answers is not read from until they have gone out. */
  outputStopsInputBytes: 1024 * 1024,
  /** Corked output is handed to the socket early beyond this. */
  corkedBytes: 256 * 1024,
  /** Payloads that wait for the end of a key exchange; `send` answers false long before. */
  queuedBytes: 4 * 1024 * 1024,
  /** What one queued payload costs besides its bytes. */
  queuedEntryBytes: 64,
  /** All that a peer may send before it is authenticated. */
  unauthenticatedBytes: 4 * 1024 * 1024,
  /** Key exchanges before authentication: a large group costs milliseconds each. */
  unauthenticatedExchanges: 4,
  /** What may arrive until the peer's KEXINIT, and until its NEWKEYS: more than is in flight. */
  unansweredKexInitBytes: 64 * 1024 * 1024,
  /** RFC 4344 §3.1: well before the sequence number can come round. */
  packetsPerKey: 2 ** 30,
  /** The longest delay of a timer in Node. */
  timerMs: 2 ** 31 - 1,
  /** After DISCONNECT: time and bytes for the peer to read it before the socket is closed. */
  lingerMs: 2000,
  lingerBytes: 16 * 1024 * 1024,
} as const;
