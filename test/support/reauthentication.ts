/**
 * The dialogue of a desktop that asks again who somebody is, by Debian's ssh, line by line.
 * Runs in: test, in the lab.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { openSubsystem, type Incoming, type Talk } from './desktop-session.ts';
import type { TestServer } from './server.ts';
import type { ClientOptions } from './stock-client.ts';

const commandPrompt = 'NX> 105 ';

/** `%XX` to bytes, which stay bytes. */
function unescaped(text: string): Buffer {
  const parts = text.split(/(%[0-9A-F]{2})/);
  return Buffer.concat(
    parts.map((part, at) => (at % 2 === 1 ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part))),
  );
}

export interface Question {
  /** In front of it. */
  readonly told: Buffer;
  readonly text: Buffer;
  readonly isShown: boolean;
}

export type Turn =
  | ({ readonly is: 'question' } & Question)
  | { readonly is: 'reply'; readonly text: string; readonly told: Buffer };

function textOf(reply: string, code: number): Buffer {
  const lines = reply.split('\n').filter((line) => line.startsWith(`NX> ${code} `));
  return unescaped(lines.map((line) => line.slice(`NX> ${code} `.length)).join(''));
}

export class DialogueClient {
  readonly talk: Talk;

  private constructor(talk: Talk) {
    this.talk = talk;
  }

  static async open(server: TestServer, options: ClientOptions): Promise<DialogueClient> {
    const client = new DialogueClient(openSubsystem(server, 'display', options));
    await client.talk.incoming.takeTo(commandPrompt);
    return client;
  }

  get #incoming(): Incoming {
    return this.talk.incoming;
  }
  get child(): ChildProcessWithoutNullStreams {
    return this.talk.child;
  }

  [Symbol.dispose](): void {
    this.child.kill();
  }

  /** Up to the next prompt of whatever kind. */
  async say(line: string | Buffer): Promise<Turn> {
    this.child.stdin.write(Buffer.concat([Buffer.from(line), Buffer.from('\n')]));
    const { before, prompt } = await this.#incoming.takeToPrompt(/NX> (?:105 |10[12] Answer: )$/);
    return prompt === commandPrompt
      ? { is: 'reply', text: before, told: textOf(before, 1010) }
      : {
          is: 'question',
          told: textOf(before, 1010),
          text: textOf(before, 1011),
          isShown: prompt.includes(' 101 '),
        };
  }

  /** The desktop by its id, with answers to what is asked: every turn. */
  async restore(id: string, answers: readonly string[]): Promise<readonly Turn[]> {
    const turns = [await this.say(`restoresession --id="${id}"`)];
    for (const answer of answers) {
      if (turns.at(-1)?.is !== 'question') {
        throw new Error(`nothing is asked any more: ${JSON.stringify(turns)}`);
      }
      turns.push(await this.say(answer));
    }
    return turns;
  }
}

/** `sshdesk subsystem NAME` as its user, as another sshd runs it. */
export function localSubsystem(
  launcher: string,
  name: string,
  { uid, gid, home }: { readonly uid: number; readonly gid: number; readonly home: string },
): ChildProcessWithoutNullStreams {
  return spawn(
    'setpriv',
    [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', launcher, 'subsystem', name],
    { stdio: 'pipe', cwd: '/', env: { PATH: process.env.PATH ?? '', HOME: home } },
  );
}
