/**
 * Channel type `direct-tcpip` (RFC 4254 §7.2). The privileged side decides; today it names targets
 * that this process serves itself and refuses the rest. Runs in: worker.
 */
import { openFailure } from '../ssh/connection/messages.ts';
import type { ChannelOpenHandler, OpenOutcome } from '../ssh/connection/mux.ts';
import type { Reader } from '../ssh/wire/reader.ts';
import type { ForwardHost } from './host.ts';

/** Is asked before the channel is confirmed, so that it can still refuse; then the channel is its. */
export type InternalTarget = () => OpenOutcome | Promise<OpenOutcome>;

const largestPort = 65535;

/** `targets` is keyed by the name that the host answers with. */
export function directTcpip(
  host: ForwardHost,
  targets: ReadonlyMap<string, InternalTarget>,
): ChannelOpenHandler {
  return (fields: Reader): OpenOutcome | Promise<OpenOutcome> => {
    const name = fields.text();
    const port = fields.uint32();
    const originAddress = fields.text();
    const originPort = fields.uint32();
    fields.end();
    if (port > largestPort) {
      return { refused: openFailure.connectFailed, text: 'no such port' };
    }
    return open(host, targets, name, port, originAddress, originPort);
  };
}

async function open(
  host: ForwardHost,
  targets: ReadonlyMap<string, InternalTarget>,
  name: string,
  port: number,
  originAddress: string,
  originPort: number,
): Promise<OpenOutcome> {
  const answer = await host.directTcpip(name, port, originAddress, originPort);
  if ('refused' in answer) {
    return answer;
  }
  const target = targets.get(answer.internal);
  if (target === undefined) {
    return { refused: openFailure.connectFailed, text: 'not available' };
  }
  return target();
}
