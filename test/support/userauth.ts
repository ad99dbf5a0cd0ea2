/** Dialogues of RFC 4252 and RFC 4256 on a raw client, with every text that was shown. Runs in: test. */
import { Fields, no, payload, type RawSsh, str, u32 } from './raw-ssh.ts';

export interface Round {
  readonly name: string;
  readonly instruction: string;
  readonly prompts: readonly (readonly [text: string, echo: boolean])[];
}

export interface Dialogue {
  readonly outcome: 'accepted' | 'refused' | 'closed';
  readonly rounds: readonly Round[];
  readonly banners: readonly string[];
  readonly elapsedMs: number;
  /** Texts and prompts in the order shown, however they were put into rounds. */
  readonly shown: readonly string[];
  /** The message that ended it; undefined: the server closed. */
  readonly last: Buffer | undefined;
}

export type Answer = string | ((prompt: string) => string);

/** Answers are taken one per prompt; past the last the prompts get `x`. */
export async function keyboardInteractive(
  client: RawSsh,
  user: string,
  answers: readonly Answer[],
  submethods = '',
): Promise<Dialogue> {
  client.send(
    payload(
      50,
      ...[str(user), str('ssh-connection'), str('keyboard-interactive')],
      ...[str(''), str(submethods)],
    ),
  );
  return await follow(client, [...answers]);
}

export async function password(client: RawSsh, user: string, word: string): Promise<Dialogue> {
  client.send(payload(50, str(user), str('ssh-connection'), str('password'), no, str(word)));
  return await follow(client, []);
}

async function follow(client: RawSsh, answers: Answer[]): Promise<Dialogue> {
  const rounds: Round[] = [];
  const banners: string[] = [];
  const shown: string[] = [];
  const began = performance.now();
  const done = (outcome: Dialogue['outcome'], last: Buffer | undefined): Dialogue => ({
    last,
    outcome,
    rounds,
    banners,
    elapsedMs: performance.now() - began,
    shown,
  });
  for (;;) {
    const bytes = await client.next(20_000);
    const number = bytes?.[0];
    if (bytes === undefined || number === 1) {
      return done('closed', bytes);
    }
    if (number === 51 || number === 52) {
      return done(number === 52 ? 'accepted' : 'refused', bytes);
    }
    const fields = new Fields(bytes);
    if (number === 53) {
      const text = fields.str().toString();
      banners.push(text);
      shown.push(...lines(text));
    } else if (number === 60) {
      const name = fields.str().toString();
      const instruction = fields.str().toString();
      fields.str();
      const prompts = Array.from({ length: fields.u32() }, () => {
        const text = fields.str().toString();
        return [text, fields.byte() !== 0] as const;
      });
      rounds.push({ name, instruction, prompts });
      shown.push(...lines(name), ...lines(instruction));
      const given = prompts.map(([text]) => {
        // sshd puts texts before the prompt into the prompt itself.
        shown.push(...lines(text));
        const answer = answers.shift() ?? 'x';
        return typeof answer === 'string' ? answer : answer(text);
      });
      client.send(payload(61, u32(given.length), ...given.map((word) => str(word))));
    }
  }
}

const lines = (text: string): readonly string[] =>
  text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
