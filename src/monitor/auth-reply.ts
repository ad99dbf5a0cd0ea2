/** What the worker is answered about an attempt (`AuthReply` of link.ts). Runs in: monitor. */

/** The values of every authentication reply (`link.ts`). */
export interface AuthReply {
  readonly is: number;
  readonly canContinue: readonly string[];
  readonly banner: Buffer;
  readonly name: Buffer;
  readonly instruction: Buffer;
  readonly prompts: readonly { readonly text: Buffer; readonly echo: boolean }[];
  readonly reason: number;
  readonly peerText: string;
  readonly token: Buffer;
}

const nothing = Buffer.alloc(0);
export function authReply(is: number, more: Partial<AuthReply> = {}): AuthReply {
  return {
    is,
    canContinue: [],
    banner: nothing,
    name: nothing,
    instruction: nothing,
    prompts: [],
    reason: 0,
    peerText: '',
    token: nothing,
    ...more,
  };
}
