/** What the log says of the end of a connection, in sshd's words. Runs in: monitor. */
import type { Connection } from './connection.ts';
import { endedBy } from './link.ts';

function whoIs({ login, authentication }: Connection): string {
  if (login !== undefined) {
    return `user ${login.user} `;
  }
  if (authentication === undefined) {
    return '';
  }
  return authentication.isValid
    ? `authenticating user ${authentication.loggedPlain} `
    : `invalid user ${authentication.loggedPlain} `;
}

/** `why` and `initiator` as the worker says (`ConnectionClosed`). */
export function logEnding(connection: Connection, why: string, initiator: number): void {
  const { from, log, login, authentication } = connection;
  const suffix = login === undefined ? ' [preauth]' : '';
  const who = whoIs(connection);
  const isValidUser = authentication?.isValid;
  const over = (line: string, reason: string): void =>
    log.info(line, { event: 'connection.closed', isValidUser, reason });
  switch (initiator) {
    case endedBy.peerDisconnected: {
      const [, code, reason] = /^(\d+): (.*)$/s.exec(why) ?? [];
      log.info(`Received disconnect from ${from}:${why}${suffix}`, {
        event: 'connection.disconnected',
        reason,
        reasonCode: code === undefined ? undefined : Number(code),
      });
      over(`Disconnected from ${who}${from}${suffix}`, 'disconnected');
      break;
    }
    case endedBy.peerReset:
      over(`Connection reset by ${who}${from}${suffix}`, 'reset');
      break;
    case endedBy.timeout:
      over(`Timeout, client not responding from ${who}${from}`, 'timeout');
      break;
    case endedBy.unused:
      over(`terminating inactive connection from ${who}${from}`, 'unused');
      break;
    case endedBy.noAgreement:
      over(`Unable to negotiate with ${from}: ${why}${suffix}`, why);
      break;
    case endedBy.us:
    case endedBy.fault:
      over(`Disconnecting ${who}${from}: ${why}${suffix}`, why);
      break;
    default:
      over(`Connection closed by ${who}${from}${suffix}`, 'closed');
  }
}
