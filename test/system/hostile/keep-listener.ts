/**
 * Has a port listened on, and goes on accepting from it when the connection is over. It reports the
 * port, and each connection that it gets. Runs in: worker.
 */
import { Acceptor, closeDescriptor, duplicate } from '../../../src/base/socket.native.ts';
import * as link from '../../../src/monitor/link.ts';
import { attempt, type Captive, report, runHostileWorker } from './hostile-worker.ts';

async function ask({ peer, recorded }: Captive, connection: number): Promise<void> {
  while (!recorded.some(({ name }) => name === 'check-key')) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  const made = await attempt(peer, link.TcpipForward, { connection, host: '127.0.0.1', port: 0 });
  const [descriptor] = made.descriptors;
  if (made.reply === undefined || descriptor === undefined) {
    report({ attack: 'keep-listener', failed: made.outcome });
    return;
  }
  duplicate(descriptor);
  const acceptor = new Acceptor(descriptor, (accepted) => {
    closeDescriptor(accepted.descriptor);
    report({ attack: 'keep-listener', accepted: true });
  });
  acceptor.onTrouble = (error) => report({ attack: 'keep-listener', trouble: error.message });
  report({ attack: 'keep-listener', port: made.reply.port });
}

runHostileWorker((captive, { connection }) => {
  void ask(captive, connection);
  return false;
});
