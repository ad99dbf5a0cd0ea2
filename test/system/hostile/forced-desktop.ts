/**
 * On the connection of somebody who may have his default desktop only (`command="rfb"`): lists, starts
 * and ends others. Runs in: worker.
 */
import { DesktopFind, DesktopList, DesktopStart } from '../../../src/broker/link.ts';
import * as link from '../../../src/monitor/link.ts';
import { attempt, type Captive, report, runHostileWorker } from './hostile-worker.ts';

async function loggedIn({ recorded }: Captive, connection: number): Promise<void> {
  const isIn = (): boolean =>
    recorded.some((one) => one.name === 'check-key' && one.values['connection'] === connection);
  while (!isIn()) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
}

async function roam(captive: Captive, connection: number): Promise<void> {
  await loggedIn(captive, connection);
  const { peer } = captive;
  const opened = await attempt(peer, link.SessionOpen, { connection });
  const session = opened.reply?.session ?? 0;
  const none = Buffer.alloc(0);
  await attempt(peer, link.SessionStart, { connection, session, kind: 'shell', command: none });
  const from = { connection, session };
  const found = await attempt(peer, DesktopFind, { ...from, which: '', create: 1 });
  const listed = await attempt(peer, DesktopList, from);
  const sizes = { width: 0, height: 0, depth: 0 };
  const order = { name: 'another', engine: '', type: '', ...sizes, parameters: [] };
  const started = await attempt(peer, DesktopStart, { ...from, ...order });
  report({
    attack: 'forced-desktop',
    found: found.outcome,
    listed: listed.outcome,
    started: started.outcome,
  });
}

runHostileWorker((captive, { connection }) => {
  void roam(captive, connection);
  return false;
});
