/**
 * Asks for every row of the monitor's table, each on a connection of its own: in front of
 * authentication (as long as nobody logs in) or behind it. Runs in: worker.
 */
import * as link from '../../../src/monitor/link.ts';
import type { Call } from '../../../src/ssh/wire/call.ts';
import type { AnyFields } from '../../../src/ssh/wire/field.ts';
import { attempt, type Captive, report, runHostileWorker } from './hostile-worker.ts';
import { requests } from './requests.ts';

/** `true` once the honest code has logged somebody in on it; a bare connection never begins. */
async function isLoggedIn({ recorded }: Captive, connection: number): Promise<boolean> {
  const has = (name: string): boolean =>
    recorded.some((one) => one.name === name && one.values['connection'] === connection);
  for (let waitedMs = 0; waitedMs < 8000; waitedMs += 100) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    if (has('check-key')) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      return true;
    }
    if (waitedMs > 1000 && !has('sign-exchange')) {
      return false;
    }
  }
  return false;
}

async function ask(captive: Captive, connection: number): Promise<void> {
  const phase = (await isLoggedIn(captive, connection)) ? 'postauth' : 'preauth';
  const [request, values] = requests[
    (connection - 1) % requests.length
  ] as (typeof requests)[number];
  const call = request as Call<AnyFields, AnyFields>;
  const first = await attempt(captive.peer, call, { connection, ...values } as never);
  // Was the connection ended? Then nothing is answered on it any more.
  const probe = await attempt(captive.peer, link.SessionOpen, { connection });
  const isOver = probe.outcome === 'no such connection';
  report({ request: request.name, phase, outcome: first.outcome, isOver });
}

report({ requests: requests.map(([{ name }]) => name) });
runHostileWorker((captive, { connection }) => {
  void ask(captive, connection);
  return false;
});
