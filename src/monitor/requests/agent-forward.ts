/**
 * `agent-forward`: the client's agent for this login's sessions (auth-agent-req@openssh.com). Once
 * per connection, as sshd; later sessions have the socket too. Runs in: monitor.
 */
import { CallFailure } from '../../ssh/wire/peer.ts';
import { AgentForward } from '../link.ts';
import { loginOf, sessionOf } from '../login.ts';
import { type AnyRow, row } from '../request-table.ts';

export function agentForward(): AnyRow {
  return row({
    schema: AgentForward,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: true,
    async handle(connection, { session: number }) {
      const login = loginOf(connection);
      const session = sessionOf(connection, number);
      if (!login.grant.permitAgentForwarding || session.startedAs !== '') {
        return { values: { allowed: false } };
      }
      await login.established;
      if (login.hasNoSession || connection.agentSocket !== undefined) {
        return { values: { allowed: false } };
      }
      try {
        const { path, descriptor } = await login.leader.agentListen();
        connection.agentSocket = path;
        return { values: { allowed: true }, descriptors: [descriptor] };
      } catch (error) {
        if (!(error instanceof CallFailure)) {
          throw error;
        }
        connection.log.error(`Agent forwarding disabled: ${error.text}`);
        return { values: { allowed: false } };
      }
    },
  });
}
