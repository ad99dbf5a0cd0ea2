/** Who decides authentication, as the userauth service sees it; in a worker it asks the monitor. */
export type AuthOutcome = (
  | { readonly is: 'accepted' }
  | { readonly is: 'partial'; readonly canContinue: readonly string[] }
  /** `errorToken`: only for `gssapiToken`. */
  | {
      readonly is: 'refused';
      readonly canContinue: readonly string[];
      readonly errorToken?: Buffer;
    }
  | {
      readonly is: 'prompt';
      readonly name: Buffer;
      readonly instruction: Buffer;
      readonly prompts: readonly { readonly text: Buffer; readonly echo: boolean }[];
    }
  | { readonly is: 'disconnect'; readonly reason: number; readonly peerText: string }
  /** Only for `queryKey`: answer PK_OK. */
  | { readonly is: 'acceptable' }
  /** Only for `startGssapi`: an OID in DER. */
  | { readonly is: 'mechanism'; readonly mechanism: Buffer }
  /** Only for `gssapiToken`. `isLast`: a MIC is next. */
  | { readonly is: 'token'; readonly token: Buffer; readonly isLast: boolean }
) & {
  /** To be sent as USERAUTH_BANNER before the answer. */
  readonly banner?: Buffer;
};

export interface Authority {
  /** The first request of the connection, whatever its method: fixes user and service. */
  begin(user: Buffer, service: string): Promise<AuthOutcome>;
  /** The first request is `none`, to which `begin` has said `begun`: that usually stands. */
  none(begun: AuthOutcome): Promise<AuthOutcome>;
  password(password: Buffer): Promise<AuthOutcome>;
  keyboardInteractive(submethods: Buffer): Promise<AuthOutcome>;
  keyboardAnswers(answers: readonly Buffer[]): Promise<AuthOutcome>;
  /** OIDs in DER (RFC 4462 §3.2). */
  startGssapi(mechanisms: readonly Buffer[]): Promise<AuthOutcome>;
  gssapiToken(token: Buffer): Promise<AuthOutcome>;
  gssapiMic(mic: Buffer): Promise<AuthOutcome>;
  /** `hostKey`: the server's key that the request names (hostbound); empty: it names none. */
  queryKey(algorithm: string, blob: Buffer, hostKey: Buffer): Promise<AuthOutcome>;
  checkKey(
    algorithm: string,
    blob: Buffer,
    signature: Buffer,
    hostKey: Buffer,
  ): Promise<AuthOutcome>;
  refuseMethod(method: string): Promise<AuthOutcome>;
}
