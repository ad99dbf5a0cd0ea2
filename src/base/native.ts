/**
 * What the addon (`src/base/addon/`, Node-API) offers; reached from `*.native.ts` only.
 * Runs in: monitor, worker.
 */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}
export interface Accepted {
  readonly descriptor: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
}
