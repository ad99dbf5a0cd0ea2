/**
 * Asks for every kind of forwarding in a login whose key forbids all of it, and for the end of a
 * listener that it was not given. Runs in: worker.
 */
import * as link from '../../../src/monitor/link.ts';
import { attempt, type Captive, report, runHostileWorker } from './hostile-worker.ts';

async function loggedIn({ recorded }: Captive, connection: number): Promise<void> {
  while (
    !recorded.some(
      ({ name, values }) => name === 'check-key' && values['connection'] === connection,
    )
  ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
}

async function ask(captive: Captive, connection: number): Promise<void> {
  await loggedIn(captive, connection);
  const { peer } = captive;
  const origin = { originAddress: '127.0.0.1', originPort: 1 };
  const path = `/tmp/forbidden-${process.pid}-${connection}`;
  const outcomes = [
    await attempt(peer, link.DirectTcpip, { connection, host: '127.0.0.1', port: 1, ...origin }),
    await attempt(peer, link.TcpipForward, { connection, host: '127.0.0.1', port: 0 }),
    await attempt(peer, link.StreamLocalForward, { connection, path }),
    // The one that it has just made, were it allowed.
    await attempt(peer, link.DirectStreamLocal, { connection, path, ...origin }),
  ];
  const gained = outcomes.map(({ descriptors }) => descriptors.length);
  const last = await attempt(peer, link.CloseForward, { connection, listener: 1 });
  const probe = await attempt(peer, link.SessionOpen, { connection });
  report({
    attack: 'forbidden-forwarding',
    outcomes: outcomes.map(({ outcome }) => outcome),
    gained,
    closing: last.outcome,
    isOver: probe.outcome === 'no such connection',
  });
}

runHostileWorker((captive, { connection }) => {
  void ask(captive, connection);
  return false;
});
