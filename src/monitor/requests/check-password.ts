/** `check-password` (RFC 4252 §8): the one password answers PAM's echo-off prompts. */
import type { AuthReply } from '../auth-reply.ts';
import { authenticationOf } from '../authentication.ts';
import type { Connection } from '../connection.ts';
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
      try {
        return { values: await check(connection, password) };
      } finally {
        password.fill(0);
      }
    },
  });
}

async function check(connection: Connection, password: Buffer): Promise<AuthReply> {
  const authentication = authenticationOf(connection);
  const over = await authentication.beginAttempt();
  if (over !== undefined) {
    return over;
  }
  if (!authentication.methods.includes('password')) {
    return authentication.refuse('password', undefined, false);
  }
  const { host, leader } = authentication.candidate;
  const startedMs = host.nowMs();
  const mayPass = authentication.mayPass('password');
  const asked = leader.authenticate({
    mode: 1,
    password,
    allowEmpty: host.config.permitEmptyPasswords,
    refused: !mayPass,
  });
  // It is in the leader's frame by now, which the link erases.
  password.fill(0);
  const result = await asked;
  return mayPass && result.returnCode === 0 && !result.userChanged
    ? authentication.accept('password', '', undefined, undefined)
    : authentication.refusePassword(startedMs, result);
}
