/** The listeners of a connection: how many, and whose they are. Runs in: monitor. */
import type { Listening } from '../../pam/leader-client.ts';
import { closeDescriptor } from '../base/socket.native.ts';
import { listenersPerConnection } from '../base/limits.ts';
import { CallFailure } from '../ssh/wire/peer.ts';
import type { Connection } from './connection.ts';

/** errno ENOSPC, as the leader says it of its own bound. */
const tooManyCode = 28;

/** Has the leader make one, within the bound; an order that failed is a refusal too. */
export async function makeListener(
  connection: Connection,
  order: () => Promise<Listening>,
): Promise<Listening> {
  const { listeners } = connection;
  if (listeners.size + connection.listenersBeingMade >= listenersPerConnection) {
    connection.log.info(`too many listeners for the connection from ${connection.from}`);
    throw new CallFailure(tooManyCode, 'too many listeners');
  }
  connection.listenersBeingMade++;
  try {
    const made = await order();
    if (made.is === 'listening') {
      if (connection.closed) {
        // Its leader goes with it, and deafens them.
        made.descriptors.forEach(closeDescriptor);
        throw new CallFailure(tooManyCode, 'the connection is over');
      }
      listeners.add(made.listener);
    }
    return made;
  } catch (error) {
    if (error instanceof CallFailure) {
      return { is: 'refused', reason: error.text };
    }
    throw error;
  } finally {
    connection.listenersBeingMade--;
  }
}
