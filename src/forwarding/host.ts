/** What forwarding needs of the privileged side; in a worker it asks the monitor. */

export interface ForwardHost {
  /**
   * Host and port as the client sent them: nothing is resolved before the policy has spoken.
   * internal: a target that this process serves itself. refused: the reason of RFC 4254 §5.1.
   */
  directTcpip(
    host: string,
    port: number,
    originAddress: string,
    originPort: number,
  ): Promise<{ readonly internal: string } | { readonly refused: number; readonly text: string }>;
}
