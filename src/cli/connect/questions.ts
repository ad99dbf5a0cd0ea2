/**
 * What a server asks before it resumes a desktop (DesktopReauth): its words go to the person as they
 * came, nothing is answered that was not asked of the person. Runs in: user.
 */
import { ClientFailure } from '../../ssh/client/failure.ts';
import type { Conversation } from '../../ssh/client/method.ts';
import { printableLine } from './printable.ts';

/** Who can be asked, and how often a dialogue is tried. */
export interface Questioning {
  /** Null: nobody may be asked, because of `obstacle`. */
  readonly conversation: Conversation | null;
  /** The end of a sentence. */
  readonly obstacle?: string;
  readonly attempts: number;
  /** Whose login it is; in front of each question, so that no server poses as this machine. */
  readonly login: string;
}

/** The server did not like the answers; it may be asked for another dialogue. */
export class WrongAnswer extends ClientFailure {
  constructor(told: string) {
    const said = told === '' ? '' : `: ${told}`;
    super('authentication', `The server does not resume the desktop${said}`);
  }
}

/** The server's line is no longer than this. */
const maxAnswerBytes = 8 * 1024;

/** `%XX` to bytes; what is no escape stays. */
export function unescaped(text: string): Buffer {
  const parts = text.split(/(%[0-9A-Fa-f]{2})/);
  return Buffer.concat(
    parts.map((part, at) =>
      at % 2 === 1 ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part, 'utf8'),
    ),
  );
}

/** One line, with its end; the caller erases it. */
export function answerLine(answer: string): Buffer {
  const bytes = Buffer.from(answer, 'utf8');
  const line = Buffer.alloc(3 * bytes.length + 1);
  let length = 0;
  for (const byte of bytes) {
    if (byte < 0x20 || byte === 0x7f || byte === 0x25) {
      length += line.write(`%${byte.toString(16).padStart(2, '0')}`, length, 'latin1');
    } else {
      line[length++] = byte;
    }
  }
  bytes.fill(0);
  line[length++] = 0x0a;
  if (length > maxAnswerBytes) {
    line.fill(0);
    throw new ClientFailure('authentication', 'the answer is too long');
  }
  return line.subarray(0, length);
}

/** The text of one question, bytes as PAM gave them, to the person and back as a line. */
export async function answerTo(
  { conversation, login, obstacle = 'in batch mode nobody answers' }: Questioning,
  told: Buffer,
  question: Buffer,
  isEchoed: boolean,
): Promise<Buffer> {
  const text = question.toString('utf8');
  if (!conversation) {
    throw new ClientFailure(
      'authentication',
      `The server asks again who you are before it resumes the desktop ("${printableLine(text)}"), and ${obstacle}.`,
    );
  }
  show(conversation, told);
  const [answer = ''] = await conversation.ask([{ text: `(${login}) ${text}`, isEchoed }]);
  return answerLine(answer);
}

export function show(conversation: Conversation | null, told: Buffer): void {
  const text = told.toString('utf8');
  if (text !== '') conversation?.show(text.endsWith('\n') ? text : `${text}\n`);
}
