/**
 * The one place that turns an error into SSH_MSG_DISCONNECT (RFC 4253 §11.1). Pure. Runs in: worker.
 */
import { DisconnectError } from '../../base/errors.ts';
import { Disconnect } from './messages.ts';

export interface Farewell {
  /** The DISCONNECT packet's payload. */
  readonly payload: Buffer;
  readonly reason: number;
  /** Not one of our classes: a fault of ours, to be logged with its stack. */
  readonly isBug: boolean;
}

/** What the peer may know of an error is its reason and its fixed text; nothing else crosses over. */
export function farewell(error: unknown): Farewell {
  const isBug = !(error instanceof DisconnectError);
  const reason = isBug ? 2 : error.reason;
  const description = Buffer.from(isBug ? 'Protocol error' : error.peerText);
  return {
    payload: Disconnect.encode({ reason, description, language: Buffer.alloc(0) }),
    reason,
    isBug,
  };
}
