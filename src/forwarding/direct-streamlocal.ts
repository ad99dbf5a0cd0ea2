/**
 * Channel type `direct-streamlocal@openssh.com` (OpenSSH PROTOCOL §2.4): to a Unix socket. The
 * privileged side decides, and connects. Runs in: worker.
 */
import { forwardNameBytes } from '../base/limits.ts';
import type { ChannelOpenHandler, OpenOutcome } from '../ssh/connection/mux.ts';
import type { Reader } from '../ssh/wire/reader.ts';
import { type Connector, openFailed } from './connector.ts';
import type { ForwardHost } from './host.ts';

const largestPort = 65535;

export function directStreamLocal(host: ForwardHost, connector: Connector): ChannelOpenHandler {
  return (fields: Reader): OpenOutcome | Promise<OpenOutcome> => {
    const path = fields.text();
    const originAddress = fields.text();
    const originPort = fields.uint32();
    fields.end();
    const isTooLong = path.length > forwardNameBytes || originAddress.length > forwardNameBytes;
    if (isTooLong || originPort > largestPort) {
      return openFailed;
    }
    return connector.open(() => host.directStreamLocal(path, originAddress, originPort));
  };
}
