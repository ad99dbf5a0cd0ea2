/** Method `password` (RFC 4252 §8), with the change of one that has expired. Runs in: user. */
import { ClientFailure } from '../failure.ts';
import {
  type ClientMethod,
  type Conversation,
  maxRounds,
  type MethodContext,
  type Outcome,
  outcomeOf,
  tooManyRounds,
} from '../method.ts';
import type { UserauthReply } from '../userauth.seam.ts';

export const password: ClientMethod = {
  name: 'password',
  begin(context) {
    let tries = 0;
    return async () => {
      const { conversation, promptAttempts } = context.plan;
      if (!conversation || tries >= promptAttempts) return null;
      tries += 1;
      if (tries > 1) conversation.show('Permission denied, please try again.\n');
      return attempt(context, conversation);
    };
  },
};

async function attempt(context: MethodContext, conversation: Conversation): Promise<Outcome> {
  const { user, host } = context.plan;
  const text = `${user}@${host}'s password: `;
  const [typed = ''] = await conversation.ask([{ text, isEchoed: false }]);
  let reply = await context.wire.password(user, typed);
  for (let round = 0; reply.is === 'change-password'; round += 1) {
    if (round >= maxRounds) throw tooManyRounds();
    reply = await change(context, conversation, typed, reply.prompt);
  }
  return outcomeOf(reply);
}

/** RFC 4252 §8: the new password travels with the old one; typed twice, compared here. */
async function change(
  { wire, plan }: MethodContext,
  conversation: Conversation,
  old: string,
  prompt: string,
): Promise<UserauthReply> {
  const { user, host, promptAttempts } = plan;
  conversation.show(`${prompt}\n`);
  for (let attempted = 0; attempted < promptAttempts; attempted += 1) {
    const [first, second] = await conversation.ask([
      { text: `Enter ${user}@${host}'s new password: `, isEchoed: false },
      { text: `Retype ${user}@${host}'s new password: `, isEchoed: false },
    ]);
    if (first !== undefined && first === second) return wire.password(user, old, first);
    conversation.show('Mismatch; try again.\n');
  }
  throw new ClientFailure('authentication', 'no new password was given');
}
