/**
 * PAM's questions, answered from the one line that a client of the account `nx` has for them. What PAM
 * asks beyond that is not answered, and the login fails: no question is passed over. Runs in: monitor.
 */
import type { Authenticated, LeaderClient, PamMessage } from '../../pam/leader-client.ts';
import { Conversation, promptsOf, type Turn } from './conversation.ts';

/** The answers, in their order: the password, and with NXPasswordSplit what stands at its end. */
export function answersIn(line: Buffer, split: number): readonly Buffer[] {
  return split > 0 && line.length > split
    ? [line.subarray(0, -split), line.subarray(-split)]
    : [line];
}

/** undefined: there are not as many as are asked for; the first is never shown to anybody. */
function take(
  messages: readonly PamMessage[],
  left: Buffer[],
  isFirst: boolean,
): readonly Buffer[] | undefined {
  const { prompts } = promptsOf(messages);
  const isForShow = isFirst && (prompts[0]?.echo ?? false);
  return prompts.length > left.length || isForShow ? undefined : left.splice(0, prompts.length);
}

export interface Conversed extends Authenticated {
  /** PAM has asked more than there are answers. */
  readonly isShort: boolean;
}

/** The answers are erased. `refused`: whatever is answered, it is wrong. */
export async function converse(
  leader: LeaderClient,
  line: Buffer,
  {
    split,
    allowEmpty,
    refused,
  }: { readonly split: number; readonly allowEmpty: boolean; readonly refused: boolean },
): Promise<Conversed> {
  const conversation = new Conversation<Authenticated>(leader, () =>
    leader.authenticate({ mode: 0, password: Buffer.alloc(0), allowEmpty, refused }),
  );
  const left = [...answersIn(line, split)];
  let isShort = false;
  let hasAnswered = false;
  let turn: Turn<Authenticated> = await conversation.next();
  while (turn.is === 'prompts') {
    const answers: readonly Buffer[] | undefined = isShort
      ? undefined
      : take(turn.messages, left, !hasAnswered);
    hasAnswered ||= (answers?.length ?? 0) > 0;
    isShort ||= answers === undefined;
    // Another number than was asked for gives it up.
    conversation.answer(answers ?? tooMany(turn.messages));
    turn = await conversation.next();
  }
  line.fill(0);
  return { ...turn.result, isShort };
}

function tooMany(messages: readonly PamMessage[]): readonly Buffer[] {
  return Array.from({ length: promptsOf(messages).prompts.length + 1 }, () => Buffer.alloc(0));
}
