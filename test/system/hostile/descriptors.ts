/** Sends descriptors to the monitor, with calls that are answered and calls that are not. Runs in: worker. */
import { duplicate } from '../../../src/base/socket.native.ts';
import * as link from '../../../src/monitor/link.ts';
import { attempt, type Captive, report, runHostileWorker } from './hostile-worker.ts';

const rounds = 200;

async function send({ peer }: Captive, connection: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const some = [duplicate(2), duplicate(2), duplicate(2)];
    await attempt(peer, link.SessionOpen, { connection: connection + 1000 }, some);
  }
  report({ attack: 'descriptors', sent: rounds * 3 });
}

runHostileWorker((captive, { connection }) => {
  void send(captive, connection);
  return true;
});
