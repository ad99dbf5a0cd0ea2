/**
 * The disconnects that end an authentication (RFC 4253 §11.1), each with sshd's lines: who gets one is
 * asked nothing any more. Runs in: monitor.
 */
import type { PamMessage } from '../../pam/leader-client.ts';
import { type AuthReply, authReply } from './auth-reply.ts';
import type { Candidate } from './candidate.ts';
import { textOf } from './conversation.ts';
import type { Factors } from './factors.ts';
import { authIs } from './link.ts';

function disconnect(peerText: string, banner: Buffer = Buffer.alloc(0)): AuthReply {
  return authReply(authIs.disconnect, { banner, reason: 2, peerText });
}

/** MaxAuthTries. */
export function tooManyFailures(candidate: Candidate): AuthReply {
  const { connection, host, isValid, logged, loggedPlain } = candidate;
  const { log } = host;
  const { from } = connection;
  log.error(`maximum authentication attempts exceeded for ${logged} from ${from} ssh2 [preauth]`, {
    event: 'authentication.exceeded',
    isValidUser: isValid,
  });
  const who = isValid ? 'authenticating user' : 'invalid user';
  log.info(
    `Disconnecting ${who} ${loggedPlain} ${from}: Too many authentication failures [preauth]`,
    {
      event: 'connection.closed',
      isValidUser: isValid,
      reason: 'Too many authentication failures',
    },
  );
  return disconnect('Too many authentication failures');
}

/** RefuseConnection. */
export function prohibited({ connection, host, logged }: Candidate): AuthReply {
  host.log.info(`administratively prohibited connection for ${logged} from ${connection.from}`);
  return disconnect('connection refused by the configuration');
}

/** AuthenticationMethods leaves nothing that could be done here. */
export function noMethodsEnabled(
  { host: { log } }: Candidate,
  { dropped }: Pick<Factors, 'dropped'>,
): AuthReply {
  for (const { chain, method } of dropped) {
    log.error(`Disabled method "${method}" in AuthenticationMethods list "${chain}" [preauth]`);
    log.info(`Authentication methods list "${chain}" contains disabled method, skipping [preauth]`);
  }
  log.error('No AuthenticationMethods left after eliminating disabled methods [preauth]');
  return disconnect('no authentication methods enabled');
}

/** By PAM's account stack: the user reads its own words in a banner, and a line of ours. */
export function accountDenied(
  { host, loggedPlain }: Candidate,
  messages: readonly PamMessage[],
): AuthReply {
  host.log.fatal(`Access denied for user ${loggedPlain} by PAM account configuration [preauth]`, {
    event: 'authentication.denied',
  });
  return disconnect('Access denied by the account configuration', textOf(messages));
}
