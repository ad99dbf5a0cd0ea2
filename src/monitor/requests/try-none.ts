/**
 * `try-none` (RFC 4252 §5.2): method `none` as the first request opens an account whose password is
 * empty, where PermitEmptyPasswords says so. What it refuses is no failure. Runs in: monitor.
 */
import { type AuthReply, authReply } from '../auth-reply.ts';
import { authenticationOf } from '../authentication.ts';
import type { Connection } from '../connection.ts';
import { waitAsRefused } from '../failure-delay.ts';
import { authIs, TryNone } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';

export function tryNone(): AnyRow {
  return row({
    schema: TryNone,
    phase: ['preauth'],
    once: true,
    decides: true,
    serial: true,
    async handle(connection) {
      return { values: await attempt(connection) };
    },
  });
}

async function attempt(connection: Connection): Promise<AuthReply> {
  const authentication = authenticationOf(connection);
  const { host, leader } = authentication.candidate;
  const refusal = authReply(authIs.refused, { canContinue: authentication.methods });
  const isOn =
    host.config.permitEmptyPasswords &&
    authentication.offers('password') &&
    authentication.factors.mayComeNext('none') &&
    authentication.isFresh;
  if (!isOn) {
    return refusal;
  }
  await authentication.beginAttempt();
  const startedMs = host.nowMs();
  const mayPass = authentication.mayPass('none');
  const result = await leader.authenticate({
    mode: 1,
    password: Buffer.alloc(0),
    allowEmpty: true,
    refused: !mayPass,
  });
  if (mayPass && result.returnCode === 0 && !result.userChanged) {
    return authentication.accept('none', '', undefined, undefined);
  }
  await waitAsRefused(host, startedMs, result.delayUs);
  return refusal;
}
