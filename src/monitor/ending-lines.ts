/** What the log says of the end of a connection, in sshd's words. Runs in: monitor. */
import { cutBytes } from '../audit/text.ts';
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

/** What sshd says when all sessions of a login have been closed too. */
export function logEnded({ from, log, login }: Connection, initiator: number): void {
  if (initiator === endedBy.peerClosed && login !== undefined) {
    log.verbose(`Closing connection to ${from}`);
  }
}

/** sshd shows so much of a client's farewell. */
const shownBytes = 400;
const byApplication = 11;

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
      const shown = `${code}: ${cutBytes(reason ?? '', shownBytes)}`;
      // Only a client that leaves of its own will is nothing to look at (RFC 4253 §11.1).
      const level = Number(code) === byApplication ? 'INFO' : 'ERROR';
      log.at(level, `Received disconnect from ${from}:${shown}${suffix}`, {
        event: 'connection.disconnected',
        reason,
        reasonCode: code === undefined ? undefined : Number(code),
      });
      over(`Disconnected from ${who}${from}${suffix}`, 'disconnected');
      break;
    }
    case endedBy.peerReset:
      over(
        login === undefined
          ? `Connection reset by ${who}${from}${suffix}`
          : `Read error from remote host ${from}: Connection reset by peer`,
        'reset',
      );
      break;
    case endedBy.closedUnidentified:
      log.error('kex_exchange_identification: Connection closed by remote host');
      over(`Connection closed by ${from}`, 'closed');
      break;
    case endedBy.resetUnidentified:
      log.error('kex_exchange_identification: read: Connection reset by peer');
      over(`Connection reset by ${from}`, 'reset');
      break;
    case endedBy.notIdentified:
      log.error(why);
      over(`banner exchange: Connection from ${from}: invalid format`, why);
      break;
    case endedBy.otherVersion:
      log.error(why);
      over(`banner exchange: Connection from ${from}: could not read protocol version`, why);
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
      if (authentication?.isEndTold !== true) {
        over(`Disconnecting ${who}${from}: ${why}${suffix}`, why);
      }
      break;
    default:
      over(`Connection closed by ${login === undefined ? who : ''}${from}${suffix}`, 'closed');
  }
}

/** The same in a word or two, for the record of a login. */
export function endReason(why: string, initiator: number): string {
  switch (initiator) {
    case endedBy.peerDisconnected:
      return 'disconnected';
    case endedBy.peerReset:
      return 'reset';
    case endedBy.timeout:
      return 'timeout';
    case endedBy.unused:
      return 'unused';
    case endedBy.us:
    case endedBy.fault:
      return why;
    default:
      return 'closed';
  }
}
