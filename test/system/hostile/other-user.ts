/** Gives orders for connections that another worker holds. Runs in: worker. */
import { readSync } from 'node:fs';
import * as link from '../../../src/monitor/link.ts';
import { attempt, type Captive, report, runHostileWorker } from './hostile-worker.ts';

const guesses = 8;
const lies = 4000;

async function steal({ peer }: Captive, own: number): Promise<void> {
  const gained: string[] = [];
  for (let connection = 1; connection <= guesses; connection++) {
    if (connection === own) {
      continue;
    }
    const opened = await attempt(peer, link.SessionOpen, { connection });
    if (opened.reply === undefined) {
      continue;
    }
    const { session } = opened.reply;
    const command = Buffer.from('id -un');
    const started = await attempt(peer, link.SessionStart, {
      connection,
      session,
      kind: 'exec',
      command,
    });
    const [, stdout] = started.descriptors;
    if (stdout !== undefined) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      const bytes = Buffer.alloc(100);
      gained.push(bytes.toString('utf8', 0, readSync(stdout, bytes)).trim());
    }
  }
  report({ attack: 'other-user', gained });
  // Nobody answers notices, and each leaves a line: so many that they would fill a disk.
  const { peerClosed } = link.endedBy;
  for (let count = 0; count < lies; count++) {
    peer.notify(link.ConnectionClosed, { connection: 999_999, why: '', initiator: peerClosed });
  }
}

runHostileWorker((captive, { connection }, ordinal) => {
  // The victim's connection goes to the other worker, which has this program too.
  if (ordinal === 1 && connection === 1) {
    return false;
  }
  void steal(captive, connection);
  return true;
});
