/** How a connection has ended, as the monitor's log has it. Runs in: worker. */
import { DisconnectError, NoAgreement, VersionError } from '../base/errors.ts';
import * as link from '../monitor/link.ts';

export const silence = { why: 'client not responding', initiator: link.endedBy.timeout } as const;
export const unused = { why: 'no channel for too long', initiator: link.endedBy.unused } as const;

/** What the monitor's log says of the end; nothing is decided by it. */
export function ending(
  error: Error | undefined,
  peerReason: { readonly reason: number; readonly text: string } | undefined,
  isIdentified: boolean,
): { readonly why: string; readonly initiator: number } {
  if (peerReason !== undefined) {
    return {
      why: `${peerReason.reason}: ${peerReason.text}`,
      initiator: link.endedBy.peerDisconnected,
    };
  }
  if (error === undefined) {
    const { peerClosed, closedUnidentified } = link.endedBy;
    return { why: '', initiator: isIdentified ? peerClosed : closedUnidentified };
  }
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'SSHDESK_LOST') {
    const { peerReset, resetUnidentified } = link.endedBy;
    return { why: error.message, initiator: isIdentified ? peerReset : resetUnidentified };
  }
  const { us, noAgreement, fault, notIdentified, otherVersion } = link.endedBy;
  if (!(error instanceof DisconnectError)) {
    return { why: 'internal error', initiator: fault };
  }
  if (error instanceof VersionError) {
    return { why: error.detail, initiator: error.isOtherVersion ? otherVersion : notIdentified };
  }
  return { why: error.detail, initiator: error instanceof NoAgreement ? noAgreement : us };
}
