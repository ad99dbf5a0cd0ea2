/**
 * Starts leaders for logins and desktops, and reaches a desktop's leader again after a restart.
 * Runs in: monitor.
 */
import { NativeError } from '../base/errors.ts';
import { SeqpacketLink } from '../base/link.native.ts';
import { closeDescriptor, connectSeqpacket, peerCredentials } from '../base/socket.native.ts';
import type { Log } from '../audit/log.ts';
import type { LeaderPort } from '../broker/leader-port.ts';
import { LeaderClient } from '../../pam/leader-client.ts';
import { Peer } from '../ssh/wire/peer.ts';
import type { Zygote } from './zygote.ts';

export class Leaders implements LeaderPort {
  readonly #zygote: Zygote;
  readonly #log: Log;

  constructor(zygote: Zygote, log: Log) {
    this.#zygote = zygote;
    this.#log = log;
  }

  readonly #onFault = (error: unknown, name: string): void => {
    this.#log.error(
      `internal error in ${name} of a leader: ${(error as Error).stack ?? String(error)}`,
    );
  };

  startLogin(): Promise<LeaderClient> {
    return this.#zygote.forkLeader('sshdesk: leader', this.#onFault);
  }

  startDesktopLeader(_owner: string): Promise<LeaderClient> {
    return this.#zygote.forkLeader('sshdesk: leader', this.#onFault);
  }

  async reconnect(directory: string): Promise<LeaderClient> {
    const descriptor = connectSeqpacket(`${directory}/control`);
    const peer = new Peer(new SeqpacketLink(descriptor), {
      closeDescriptor,
      onFault: this.#onFault,
    });
    let served: ReturnType<typeof peerCredentials>;
    try {
      served = peerCredentials(descriptor);
    } catch (error) {
      peer.close();
      throw error;
    }
    const { uid, pid } = served;
    if (uid !== process.getuid?.()) {
      peer.close();
      throw new NativeError('control', uid, `${directory}/control is served by uid ${uid}`);
    }
    return new LeaderClient(peer, pid);
  }
}
