/**
 * DesktopReauth in the dialogue: PAM's questions go to the client as they are, its answers to the
 * monitor, which alone knows what they come to. Pure.
 */
import type { CommandContext } from './command.ts';
import type { Desktop } from './desktops.ts';
import { textLines } from './questions.ts';
import { failureLines, lastOperationFailed } from './replies.ts';

/** PAM's words, and a question of its; both may take several lines. */
const toldCode = 1010;
const askedCode = 1011;

export interface Judged {
  readonly isAccepted: boolean;
  /** For the client: what PAM has to say, and why not. */
  readonly lines: readonly string[];
}

type Asked = Awaited<ReturnType<CommandContext['desktops']['answer']>>;

/** Undefined: the client has gone, or says no more. */
async function answersTo(
  { ask }: CommandContext,
  { instruction, prompts }: Extract<Asked, { is: 'done' }>['value'],
): Promise<readonly Buffer[] | undefined> {
  const answers: Buffer[] = [];
  let told = textLines(toldCode, instruction);
  for (const { text, echo } of prompts) {
    const answer = await ask([...told, ...textLines(askedCode, text)], echo);
    if (answer === undefined) {
      answers.forEach((one) => one.fill(0));
      return undefined;
    }
    answers.push(answer);
    told = [];
  }
  return answers;
}

export async function reauthenticate(context: CommandContext, { id }: Desktop): Promise<Judged> {
  const { desktops } = context;
  let asked: Asked = await desktops.reauthenticate(id);
  while (asked.is === 'done' && asked.value.is === 'prompt') {
    // None, where there were questions, gives it up.
    asked = await desktops.answer((await answersTo(context, asked.value)) ?? []);
  }
  if (asked.is === 'failed') {
    return { isAccepted: false, lines: failureLines(asked, desktops.user, id) };
  }
  const told = textLines(toldCode, asked.value.instruction);
  return asked.value.is === 'accepted'
    ? { isAccepted: true, lines: told }
    : {
        isAccepted: false,
        lines: [...told, 'NX> 404 ERROR: Authentication failed.', lastOperationFailed],
      };
}
