/**
 * `sshdesk: worker N`. Reads the network: transport, userauth, connection protocol, NX dialogue, the
 * owner's RFB. It holds no host key, decides nothing, opens nothing and runs nothing; descriptors
 * come from the monitor. Started by the zygote, confined; its link is descriptor 3. Runs in: worker.
 */
import { confine } from './worker-confinement.ts';
import { SeqpacketLink } from '../base/link.native.ts';
import { closeDescriptor } from '../base/socket.native.ts';
import { setProcessTitle } from '../base/confine.native.ts';
import * as link from '../monitor/link.ts';
import { checkEngineShape } from '../ssh/transport/ssh2-shape.ts';
import { Peer } from '../ssh/wire/peer.ts';
import { WorkerConnections } from './worker-connections.ts';

const linkDescriptor = 3;

/** Not confined, it serves nobody: the monitor sees it end, and does not start or tries another. */
function refuse(peer: Peer, error: Error): void {
  const line = `confinement: ${error.message}`;
  peer.notify(link.Log, { level: 'ERROR', connection: 0, line });
  setImmediate(() => process.exit(1));
}

function main(): void {
  checkEngineShape();
  const peer = new Peer(new SeqpacketLink(linkDescriptor), {
    closeDescriptor,
    onFault: (error, name) =>
      peer.notify(link.Log, {
        level: 'ERROR',
        connection: 0,
        line: `internal error in ${name}: ${(error as Error).stack ?? String(error)}`,
      }),
  });
  peer.onEnd = () => process.exit(0);
  peer.onNotice(link.Settings, ({ json }) => {
    const settings = JSON.parse(json.toString('utf8')) as link.WorkerSettings;
    setProcessTitle(`sshdesk: worker ${settings.worker}`);
    const connections = new WorkerConnections(peer, settings);
    let skipped: readonly string[];
    try {
      skipped = confine(settings.confinement);
    } catch (error) {
      refuse(peer, error as Error);
      return;
    }
    peer.notify(link.Ready, { skipped });
    process.on('uncaughtException', (error) => {
      // It can be tied to no connection: the worker ends, the monitor replaces it.
      peer.notify(link.Log, {
        level: 'ERROR',
        connection: 0,
        line: `uncaught: ${error.stack ?? String(error)}`,
      });
      setImmediate(() => process.exit(1));
    });
    connections.begin();
  });
}

main();
