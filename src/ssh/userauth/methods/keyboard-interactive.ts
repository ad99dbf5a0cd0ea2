/**
 * Method `keyboard-interactive` (RFC 4256): as many rounds of prompts as the authority asks for.
 * Runs in: worker. Answers are erased after one use.
 */
import { keyboardInteractiveAnswers, passwordBytes } from '../../../base/limits.ts';
import { bool, list, record, string } from '../../wire/field.ts';
import { message } from '../../wire/message.ts';
import type { AuthOutcome } from '../authority.ts';
import type { Method, MethodContext, MethodStep } from '../method.ts';

/** RFC 4256 §3.2 */
export const InfoRequest = message(60, 'USERAUTH_INFO_REQUEST', {
  name: string,
  instruction: string,
  language: string,
  prompts: list(record({ text: string, echo: bool }), keyboardInteractiveAnswers),
});
/** RFC 4256 §3.4 */
export const InfoResponse = message(61, 'USERAUTH_INFO_RESPONSE', {
  answers: list(string, keyboardInteractiveAnswers),
});

export const keyboardInteractive: Method = {
  name: 'keyboard-interactive',
  async start(fields, context) {
    fields.string(); // language tag, deprecated
    const submethods = fields.string();
    fields.end();
    return stepOf(await context.authority.keyboardInteractive(submethods), context);
  },
};

function stepOf(outcome: AuthOutcome, context: MethodContext): MethodStep {
  if (outcome.is !== 'prompt') {
    return { is: 'outcome', outcome };
  }
  const { name, instruction, prompts } = outcome;
  return {
    is: 'message',
    payload: InfoRequest.encode({ name, instruction, language: Buffer.alloc(0), prompts }),
    ...(outcome.banner === undefined ? {} : { banner: outcome.banner }),
    next: new Map([
      [InfoResponse.number, (payload: Buffer) => answer(payload, prompts.length, context)],
    ]),
  };
}

async function answer(
  payload: Buffer,
  promptCount: number,
  context: MethodContext,
): Promise<MethodStep> {
  try {
    const { answers } = InfoResponse.decode(payload);
    // RFC 4256 §3.4: another number of answers than of prompts is a failure.
    const isFit =
      answers.length === promptCount && answers.every((one) => one.length <= passwordBytes);
    const outcome = isFit
      ? await context.authority.keyboardAnswers(answers)
      : await context.authority.refuseMethod('keyboard-interactive');
    return stepOf(outcome, context);
  } finally {
    payload.fill(0);
  }
}
