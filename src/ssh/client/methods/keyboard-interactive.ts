/**
 * Method `keyboard-interactive` (RFC 4256): every question to the person as it came. Nothing is ever
 * answered on the person's behalf. Runs in: user.
 */
import {
  type ClientMethod,
  type Conversation,
  maxRounds,
  type MethodContext,
  type Outcome,
  outcomeOf,
  tooManyRounds,
} from '../method.ts';

export const keyboardInteractive: ClientMethod = {
  name: 'keyboard-interactive',
  begin(context) {
    let left = context.plan.promptAttempts;
    return async () => {
      const { conversation } = context.plan;
      if (!conversation || left <= 0) return null;
      left -= 1;
      const { outcome, wasAsked } = await dialogue(context, conversation);
      // Refused without a question: asking again would only count as another failure.
      if (!wasAsked) left = 0;
      return outcome;
    };
  },
};

async function dialogue(
  { wire, plan }: MethodContext,
  conversation: Conversation,
): Promise<{ outcome: Outcome; wasAsked: boolean }> {
  const { user, host } = plan;
  let reply = await wire.keyboardInteractive(user);
  let wasAsked = false;
  for (let round = 0; reply.is === 'prompts'; round += 1) {
    if (round >= maxRounds) throw tooManyRounds();
    wasAsked = true;
    for (const text of [reply.name, reply.instruction]) {
      if (text !== '') conversation.show(text.endsWith('\n') ? text : `${text}\n`);
    }
    // The name before a prompt keeps a server from posing as a local question for a passphrase.
    const questions = reply.prompts.map(({ prompt, echo }) => ({
      text: `(${user}@${host}) ${prompt}`,
      isEchoed: echo === true,
    }));
    const answers = questions.length === 0 ? [] : await conversation.ask(questions);
    reply = await wire.answer(answers);
  }
  return { outcome: outcomeOf(reply), wasAsked };
}
