/**
 * On the connection of somebody who would be asked again before his desktop is resumed: opens it
 * without, says that it was right, answers what nobody asked. Runs in: worker.
 */
import {
  DesktopAnswer,
  DesktopAttach,
  DesktopFind,
  DesktopReauthenticate,
  reauthenticationIs,
} from '../../../src/broker/link.ts';
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

async function claim(captive: Captive, connection: number): Promise<void> {
  await loggedIn(captive, connection);
  const { peer } = captive;
  const opened = await attempt(peer, link.SessionOpen, { connection });
  const session = opened.reply?.session ?? 0;
  const command = Buffer.from('display');
  await attempt(peer, link.SessionStart, { connection, session, kind: 'subsystem', command });
  const from = { connection, session };
  const found = await attempt(peer, DesktopFind, { ...from, which: '', create: 1 });
  const id = found.reply?.desktop.id ?? '';
  const asRfb = { protocol: 'rfb', parameters: [] };
  const attached = await attempt(peer, DesktopAttach, { ...from, ...asRfb, id });
  const asked = await attempt(peer, DesktopReauthenticate, { ...from, id });
  const whileAsked = await attempt(peer, DesktopAttach, { ...from, ...asRfb, id });
  // One answer too few gives it up.
  const answered = await attempt(peer, DesktopAnswer, { ...from, answers: [] });
  const behind = await attempt(peer, DesktopAttach, { ...from, ...asRfb, id });
  const unasked = await attempt(peer, DesktopAnswer, { ...from, answers: [Buffer.from('secret')] });
  report({
    attack: 'claim-reauthentication',
    found: found.outcome,
    attached: [attached.outcome, whileAsked.outcome, behind.outcome],
    asks: asked.reply?.is === reauthenticationIs.prompt,
    refuses: answered.reply?.is === reauthenticationIs.refused,
    unasked: unasked.outcome,
  });
}

let first = true;
runHostileWorker((captive, { connection }) => {
  // The first one starts the desktop, honestly.
  if (!first) {
    void claim(captive, connection);
  }
  first = false;
  return false;
});
