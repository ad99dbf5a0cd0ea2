/**
 * One PAM conversation as a sequence of turns: each is either prompts for the person or the result.
 * Runs in: monitor.
 */
import type { LeaderClient, PamMessage } from '../../pam/leader-client.ts';
import { pamStyle } from '../../pam/leader-protocol.ts';

export type Turn<R> =
  | { readonly is: 'prompts'; readonly messages: readonly PamMessage[] }
  | { readonly is: 'result'; readonly result: R };

export interface Prompts {
  readonly instruction: Buffer;
  readonly prompts: readonly { readonly text: Buffer; readonly echo: boolean }[];
}

/**
 * PAM's messages as an INFO_REQUEST (RFC 4256 §3.2). What is told before the first prompt is the
 * instruction; what stands between prompts leads the prompt behind it, so the order is kept.
 */
export function promptsOf(messages: readonly PamMessage[]): Prompts {
  const prompts: { text: Buffer; echo: boolean }[] = [];
  let told: Buffer[] = [];
  let instruction: Buffer = Buffer.alloc(0);
  for (const { style, text } of messages) {
    if (style !== pamStyle.promptEchoOff && style !== pamStyle.promptEchoOn) {
      told.push(text, Buffer.from('\n'));
      continue;
    }
    if (prompts.length === 0) {
      instruction = Buffer.concat(told);
      prompts.push({ text, echo: style === pamStyle.promptEchoOn });
    } else {
      prompts.push({ text: Buffer.concat([...told, text]), echo: style === pamStyle.promptEchoOn });
    }
    told = [];
  }
  return prompts.length === 0
    ? { instruction: Buffer.concat(told), prompts }
    : { instruction, prompts };
}

/** PAM's messages as lines, for the user to read. */
export function textOf(messages: readonly PamMessage[]): Buffer {
  return Buffer.concat(messages.flatMap(({ text }) => [text, Buffer.from('\n')]));
}

export class Conversation<R> {
  readonly #leader: LeaderClient;
  readonly #result: Promise<Turn<R>>;
  #prompted: PromiseWithResolvers<Turn<R>>;
  #expectedAnswers = 0;

  /** `run` gives the order to the leader; its promise is the result. */
  constructor(leader: LeaderClient, run: () => Promise<R>) {
    this.#leader = leader;
    this.#prompted = Promise.withResolvers();
    leader.onPrompt = (messages) => {
      this.#expectedAnswers = promptsOf(messages).prompts.length;
      this.#prompted.resolve({ is: 'prompts', messages });
    };
    this.#result = run().then((result) => ({ is: 'result', result }));
  }

  next(): Promise<Turn<R>> {
    return Promise.race([this.#prompted.promise, this.#result]);
  }

  /** False: not as many answers as prompts; the conversation has been aborted. */
  answer(answers: readonly Buffer[]): boolean {
    this.#prompted = Promise.withResolvers();
    const fits = answers.length === this.#expectedAnswers;
    this.#leader.answer(fits ? answers : [], !fits);
    for (const answer of answers) {
      answer.fill(0);
    }
    return fits;
  }

  /** Ends it from our side and waits until the leader is free again. */
  async abort(): Promise<void> {
    this.#leader.answer([], true);
    await this.#result;
  }
}
