/**
 * Agent forwarding, when it was asked for: channels of type auth-agent@openssh.com lead to the
 * person's agent, each bound to the host that it comes from, so that every constraint of a key holds;
 * behind that as bytes. Runs in: user.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { agentConnections } from '../../base/limits.ts';
import { openFailure } from '../../ssh/connection/messages.ts';
import type { OpenOutcome } from '../../ssh/connection/mux.ts';
import { splice } from '../../ssh/connection/pump.ts';
import type { Reader } from '../../ssh/wire/reader.ts';
import type { ClientSession } from '../../ssh/client/session.ts';
import { bindAgent } from './agent-binding.ts';

/** Every program of the session asks for it from here on, those behind desktops too. */
export function forwardAgent(session: ClientSession, agentPath: string): void {
  let connections = 0;
  session.isAgentForwarded = true;
  session.serve('auth-agent@openssh.com', async (fields: Reader): Promise<OpenOutcome> => {
    fields.end();
    if (connections >= agentConnections) {
      return { refused: openFailure.resourceShortage, text: 'too many connections to the agent' };
    }
    connections += 1;
    const agent = connect({ path: agentPath, allowHalfOpen: true });
    agent.once('close', () => {
      connections -= 1;
    });
    if (!(await isConnected(agent)) || !(await bindAgent(agent, session))) {
      agent.destroy();
      return { refused: openFailure.connectFailed, text: 'the agent does not answer' };
    }
    return {
      opened: (channel) => splice(channel, agent),
      abandoned: () => void agent.destroy(),
    };
  });
}

async function isConnected(socket: Socket): Promise<boolean> {
  try {
    await once(socket, 'connect');
    // Until the channel is spliced: a reset must not be nobody's.
    socket.on('error', () => socket.destroy());
    return true;
  } catch {
    socket.destroy();
    return false;
  }
}
