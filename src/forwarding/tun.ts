/**
 * Channel type `tun@openssh.com` (OpenSSH PROTOCOL §2.3): tunnel devices are given to nobody
 * (PermitTunnel no). Runs in: worker.
 */
import { openFailure } from '../ssh/connection/messages.ts';
import type { ChannelOpenHandler } from '../ssh/connection/mux.ts';
import type { Reader } from '../ssh/wire/reader.ts';

export const refuseTunnel: ChannelOpenHandler = (fields: Reader) => {
  fields.uint32(); // mode
  fields.uint32(); // unit
  fields.end();
  return { refused: openFailure.connectFailed, text: 'open failed' };
};
