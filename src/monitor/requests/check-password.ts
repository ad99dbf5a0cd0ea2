/** `check-password` (RFC 4252 §8): the one password answers PAM's echo-off prompts. */
import { authenticationOf } from '../authentication.ts';
import { CheckPassword } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';

export function checkPassword(): AnyRow {
  return row({
    schema: CheckPassword,
    phase: ['preauth'],
    once: false,
    decides: true,
    serial: true,
    async handle(connection, { password }) {
      const authentication = authenticationOf(connection);
      const over = await authentication.abandonConversation();
      if (over !== undefined) {
        return { values: over };
      }
      if (!authentication.methods.includes('password')) {
        return { values: authentication.refuse('password', '') };
      }
      const startedMs = authentication.host.nowMs();
      const mayPass = authentication.mayPass('password');
      const asked = authentication.leader.authenticate({
        mode: 1,
        password,
        allowEmpty: false,
        refused: !mayPass,
      });
      // It is in the leader's frame by now, which the link erases.
      password.fill(0);
      const result = await asked;
      if (mayPass && result.returnCode === 0 && !result.userChanged) {
        return { values: await authentication.accept('password', '', '', undefined) };
      }
      return {
        values: await authentication.refuseSecret('password', '', startedMs, result.delayUs),
      };
    },
  });
}
