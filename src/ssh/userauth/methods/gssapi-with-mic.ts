/**
 * Method `gssapi-with-mic` (RFC 4462 §3): tokens both ways, then a MIC. Runs in: worker. Tokens and
 * names of mechanisms are carried on as they are.
 */
import { gssapiMechanisms, gssapiTokenBytes } from '../../../base/limits.ts';
import { ProtocolError } from '../../../base/errors.ts';
import { string, uint32 } from '../../wire/field.ts';
import { message } from '../../wire/message.ts';
import type { AuthOutcome } from '../authority.ts';
import type { Method, MethodContext, MethodMessages, MethodStep } from '../method.ts';

/** RFC 4462 §3.2 to §3.9 */
export const GssapiResponse = message(60, 'USERAUTH_GSSAPI_RESPONSE', { mechanism: string });
export const GssapiToken = message(61, 'USERAUTH_GSSAPI_TOKEN', { token: string });
export const GssapiExchangeComplete = message(63, 'USERAUTH_GSSAPI_EXCHANGE_COMPLETE', {});
export const GssapiError = message(64, 'USERAUTH_GSSAPI_ERROR', {
  major: uint32,
  minor: uint32,
  text: string,
  language: string,
});
export const GssapiErrorToken = message(65, 'USERAUTH_GSSAPI_ERRTOK', { token: string });
export const GssapiMic = message(66, 'USERAUTH_GSSAPI_MIC', { mic: string });

export const gssapiWithMic: Method = {
  name: 'gssapi-with-mic',
  async start(fields, context) {
    const count = fields.uint32();
    if (count === 0 || count > gssapiMechanisms) {
      return refused(context);
    }
    const mechanisms: Buffer[] = [];
    for (let i = 0; i < count; i++) {
      mechanisms.push(fields.string());
    }
    fields.end();
    return stepOf(await context.authority.startGssapi(mechanisms), context);
  },
};

async function refused({ authority }: MethodContext): Promise<MethodStep> {
  return { is: 'outcome', outcome: await authority.refuseMethod('gssapi-with-mic') };
}

function bounded(token: Buffer): Buffer {
  if (token.length > gssapiTokenBytes) {
    throw new ProtocolError(`a GSSAPI token of ${token.length} bytes`);
  }
  return token;
}

/** The client has given up: it is told nothing, and asks for something else (RFC 4462 §3.9). */
const errorToken: MethodMessages = new Map([
  [
    GssapiErrorToken.number,
    async (payload: Buffer) => {
      GssapiErrorToken.decode(payload);
      return { is: 'message' };
    },
  ],
]);

function awaitToken(context: MethodContext): MethodMessages {
  return new Map([
    ...errorToken,
    [
      GssapiToken.number,
      async (payload: Buffer) => {
        const { token } = GssapiToken.decode(payload);
        // What no mechanism could take is no token.
        return token.length === 0
          ? refused(context)
          : stepOf(await context.authority.gssapiToken(bounded(token)), context);
      },
    ],
  ]);
}

/** EXCHANGE_COMPLETE is for contexts without integrity, which are refused: it counts as no MIC. */
function awaitMic(context: MethodContext): MethodMessages {
  const check = async (mic: Buffer): Promise<MethodStep> =>
    stepOf(await context.authority.gssapiMic(bounded(mic)), context);
  return new Map([
    ...errorToken,
    [GssapiMic.number, async (payload: Buffer) => check(GssapiMic.decode(payload).mic)],
    [
      GssapiExchangeComplete.number,
      async (payload: Buffer) => {
        GssapiExchangeComplete.decode(payload);
        return check(Buffer.alloc(0));
      },
    ],
  ]);
}

function stepOf(outcome: AuthOutcome, context: MethodContext): MethodStep {
  switch (outcome.is) {
    case 'mechanism':
      return {
        is: 'message',
        payload: GssapiResponse.encode({ mechanism: outcome.mechanism }),
        next: awaitToken(context),
      };
    case 'token':
      return {
        is: 'message',
        ...(outcome.token.length === 0
          ? {}
          : { payload: GssapiToken.encode({ token: outcome.token }) }),
        next: outcome.isLast ? awaitMic(context) : awaitToken(context),
      };
    case 'refused':
      return {
        is: 'outcome',
        outcome,
        ...(outcome.errorToken === undefined
          ? {}
          : { before: GssapiErrorToken.encode({ token: outcome.errorToken }) }),
      };
    default:
      return { is: 'outcome', outcome };
  }
}
