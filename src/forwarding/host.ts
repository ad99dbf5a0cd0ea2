/** What forwarding needs of the privileged side; in a worker it asks the monitor. */

/** The reason of RFC 4254 §5.1, and the line for the client. */
export interface RefusedOpen {
  readonly refused: number;
  readonly text: string;
}

/** Descriptors in it belong to whoever gets it. */
export interface Listening {
  /** The privileged side's number of it. */
  readonly listener: number;
  /** The port that it listens on; 0 for a Unix socket. */
  readonly port: number;
  readonly descriptors: readonly number[];
}

export interface ForwardHost {
  /**
   * Host and port as the client sent them: nothing is resolved before the policy has spoken.
   * internal: a target that this process serves itself. descriptor: a connected socket.
   */
  directTcpip(
    host: string,
    port: number,
    originAddress: string,
    originPort: number,
  ): Promise<{ readonly internal: string } | { readonly descriptor: number } | RefusedOpen>;
  directStreamLocal(
    path: string,
    originAddress: string,
    originPort: number,
  ): Promise<{ readonly descriptor: number } | RefusedOpen>;
  /** undefined: refused. */
  listenTcp(host: string, port: number): Promise<Listening | undefined>;
  listenStreamLocal(path: string): Promise<Listening | undefined>;
  /** Resolves when nothing listens there any more. */
  closeListener(listener: number): Promise<void>;
}
