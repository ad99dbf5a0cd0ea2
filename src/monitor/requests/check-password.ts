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
      await authentication.abandonConversation();
      if (!authentication.methods.includes('password')) {
        return { values: authentication.refuse('password', '') };
      }
      const startedMs = authentication.host.nowMs();
      const secret = Buffer.from(password);
      const mayPass = authentication.mayPass('password');
      const result = await authentication.leader.authenticate({
        mode: 1,
        password: secret,
        allowEmpty: false,
        refused: !mayPass,
      });
      secret.fill(0);
      password.fill(0);
      if (mayPass && result.returnCode === 0 && !result.userChanged) {
        return { values: await authentication.accept('password', '', '', undefined) };
      }
      return {
        values: await authentication.refuseSecret('password', '', startedMs, result.delayUs),
      };
    },
  });
}
