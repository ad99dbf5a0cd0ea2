/**
 * Channel type `direct-tcpip` (RFC 4254 §7.2). The privileged side decides, and connects; it can also
 * name a target that this process serves itself. Runs in: worker.
 */
import { forwardNameBytes } from '../base/limits.ts';
import { openFailure } from '../ssh/connection/messages.ts';
import type { ChannelOpenHandler, OpenOutcome } from '../ssh/connection/mux.ts';
import type { Reader } from '../ssh/wire/reader.ts';
import type { Connector } from './connector.ts';
import type { ForwardHost } from './host.ts';

/** Is asked before the channel is confirmed, so that it can still refuse; then the channel is its. */
export type InternalTarget = () => OpenOutcome | Promise<OpenOutcome>;

const largestPort = 65535;

/** `targets` is keyed by the name that the host answers with. */
export function directTcpip(
  host: ForwardHost,
  connector: Connector,
  targets: ReadonlyMap<string, InternalTarget>,
): ChannelOpenHandler {
  return (fields: Reader): OpenOutcome | Promise<OpenOutcome> => {
    const name = fields.text();
    const port = fields.uint32();
    const originAddress = fields.text();
    const originPort = fields.uint32();
    fields.end();
    if (port > largestPort || originPort > largestPort) {
      return { refused: openFailure.administrativelyProhibited, text: 'open failed' };
    }
    if (name.length > forwardNameBytes || originAddress.length > forwardNameBytes) {
      return { refused: openFailure.connectFailed, text: 'Name or service not known' };
    }
    return connector.open(async () => {
      const answer = await host.directTcpip(name, port, originAddress, originPort);
      if (!('internal' in answer)) {
        return answer;
      }
      const target = targets.get(answer.internal);
      return target === undefined
        ? { refused: openFailure.connectFailed, text: 'not available' }
        : { outcome: await target() };
    });
  };
}
