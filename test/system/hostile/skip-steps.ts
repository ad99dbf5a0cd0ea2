/**
 * Leaves out what comes in front, or asks for more than there is: each connection another attempt, in
 * the order of the list; the last, of an honest login, asks for sessions without end. Runs in: worker.
 */
import * as link from '../../../src/monitor/link.ts';
import type { Call } from '../../../src/ssh/wire/call.ts';
import type { AnyFields } from '../../../src/ssh/wire/field.ts';
import { attempt, type Captive, report, runHostileWorker } from './hostile-worker.ts';

const none = Buffer.alloc(0);
const alice = { user: Buffer.from('alice'), service: 'ssh-connection' };
const bob = { user: Buffer.from('bob'), service: 'ssh-connection' };
const secret = (): object => ({ password: Buffer.from('secret') });
const begin = [link.UserauthBegin, alice] as const;
const open = [link.SessionOpen, {}] as const;

// biome-ignore lint/suspicious/noExplicitAny: calls of different shapes stand in one list
type Step = readonly [Call<any, any>, object];
/** `AuthenticationMethods publickey,password`, MaxAuthTries 3, MaxSessions 3. */
const attempts: Readonly<Record<string, readonly Step[]>> = {
  'the second factor alone': [begin, [link.CheckPassword, secret()], open],
  'another user': [begin, [link.UserauthBegin, bob], open],
  'none twice': [begin, [link.TryNone, {}], [link.TryNone, {}], open],
  'answers to no question': [
    begin,
    [link.AnswerKeyboardInteractive, { answers: [Buffer.from('secret')] }],
    open,
  ],
  'nobody at all': [[link.CheckPassword, secret()], open],
  'more tries than there are': [
    begin,
    ...Array.from({ length: 3 }, (): Step => [link.RefuseMethod, { method: 'x' }]),
    [link.CheckPassword, secret()],
    open,
  ],
  'a signature without an exchange': [
    begin,
    [link.CheckKey, { algorithm: 'ssh-ed25519', blob: none, signature: none, hostKey: none }],
    open,
  ],
};
const names = Object.keys(attempts);

async function play(captive: Captive, connection: number, name: string): Promise<void> {
  const outcomes: string[] = [];
  for (const [call, values] of attempts[name] ?? []) {
    const order = call as Call<AnyFields, AnyFields>;
    const { outcome, reply } = await attempt(captive.peer, order, {
      connection,
      ...values,
    } as never);
    const is = (reply as { is?: number } | undefined)?.is;
    outcomes.push(`${call.name}: ${outcome}${is === undefined ? '' : ` ${is}`}`);
  }
  report({ attack: name, outcomes });
}

async function sessions({ peer, recorded }: Captive, connection: number): Promise<void> {
  const isHonest = (one: { readonly name: string; readonly values: object }): boolean =>
    one.name === 'session-open' &&
    (one.values as { connection?: number }).connection === connection;
  while (!recorded.some(isHonest)) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const outcomes: string[] = [];
  for (let count = 0; count < 6; count++) {
    outcomes.push((await attempt(peer, link.SessionOpen, { connection })).outcome);
  }
  report({ attack: 'sessions', outcomes });
}

report({ attempts: names });
runHostileWorker((captive, { connection }, ordinal) => {
  const name = names[ordinal - 1];
  if (name === undefined) {
    void sessions(captive, connection);
    return false;
  }
  void play(captive, connection, name);
  return true;
});
