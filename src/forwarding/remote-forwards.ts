/**
 * The global requests of remote forwarding: tcpip-forward, streamlocal-forward@openssh.com and their
 * ends (RFC 4254 §7.1, OpenSSH PROTOCOL §2.4). The privileged side decides and listens; connections
 * are accepted here and become channels to the client. Runs in: worker.
 */
import { channelsPerConnection, forwardNameBytes } from '../base/limits.ts';
import type { Accepted } from '../base/native.ts';
import type { GlobalAnswer, GlobalRequestHandler } from '../ssh/connection/global-requests.ts';
import type { ChannelOpener } from '../ssh/connection/mux.ts';
import type { Reader } from '../ssh/wire/reader.ts';
import { Writer } from '../ssh/wire/writer.ts';
import type { ForwardHost, Listening } from './host.ts';
import { ForwardListener } from './listener.ts';
import type { SocketRoom } from './room.ts';

const largestPort = 65535;
/** For a peer that has no address: clients check what stands here. */
const unknownOrigin = { address: '127.0.0.1', port: 65535 } as const;

interface Forward {
  readonly number: number;
  readonly listener: ForwardListener;
}

function tcpKey(host: string, port: number): string {
  return `tcp ${port} ${host}`;
}

function streamLocalKey(path: string): string {
  return `unix ${path}`;
}

export interface RemoteForwardsOptions {
  readonly host: ForwardHost;
  readonly room: SocketRoom;
  /** Asked for with each listener: the channels are opened there. */
  readonly opener: () => ChannelOpener;
  /** Descriptors have run out while accepting, or a listener is broken. */
  readonly onTrouble: (error: Error) => void;
}

/** Those of one connection; a listener is known by what the client called it. */
export class RemoteForwards {
  readonly #options: RemoteForwardsOptions;
  readonly #forwards = new Map<string, Forward>();
  #isOver = false;

  readonly requests: ReadonlyMap<string, GlobalRequestHandler>;

  constructor(options: RemoteForwardsOptions) {
    this.#options = options;
    this.requests = new Map<string, GlobalRequestHandler>([
      ['tcpip-forward', (fields) => this.#forwardTcp(fields)],
      ['cancel-tcpip-forward', (fields) => this.#cancelTcp(fields)],
      ['streamlocal-forward@openssh.com', (fields) => this.#forwardStreamLocal(fields)],
      ['cancel-streamlocal-forward@openssh.com', (fields) => this.#cancelStreamLocal(fields)],
    ]);
  }

  /** The connection is over. */
  end(): void {
    this.#isOver = true;
    for (const { listener } of this.#forwards.values()) {
      listener.close();
    }
    this.#forwards.clear();
  }

  #forwardTcp(fields: Reader): GlobalAnswer | Promise<GlobalAnswer> {
    const host = fields.text();
    const port = fields.uint32();
    fields.end();
    return host.length > forwardNameBytes || port > largestPort ? false : this.#tcp(host, port);
  }

  async #tcp(host: string, asked: number): Promise<GlobalAnswer> {
    const made = await this.#options.host.listenTcp(host, asked);
    if (made === undefined) {
      return false;
    }
    const { port } = made;
    this.#serve(
      tcpKey(host, port),
      made,
      'forwarded-tcpip',
      true,
      ({ remoteAddress, remotePort }) =>
        new Writer()
          .text(host)
          .uint32(port)
          .text(remoteAddress === '' ? unknownOrigin.address : remoteAddress)
          .uint32(remoteAddress === '' ? unknownOrigin.port : remotePort)
          .done(),
    );
    return asked === 0 ? new Writer().uint32(port).done() : true;
  }

  #cancelTcp(fields: Reader): GlobalAnswer | Promise<GlobalAnswer> {
    const host = fields.text();
    const port = fields.uint32();
    fields.end();
    return this.#cancel(tcpKey(host, port));
  }

  #forwardStreamLocal(fields: Reader): GlobalAnswer | Promise<GlobalAnswer> {
    const path = fields.text();
    fields.end();
    return path.length > forwardNameBytes ? false : this.#streamLocal(path);
  }

  async #streamLocal(path: string): Promise<GlobalAnswer> {
    const made = await this.#options.host.listenStreamLocal(path);
    if (made === undefined) {
      return false;
    }
    const data = new Writer().text(path).text('').done();
    const type = 'forwarded-streamlocal@openssh.com';
    this.#serve(streamLocalKey(path), made, type, false, () => data);
    return true;
  }

  #cancelStreamLocal(fields: Reader): GlobalAnswer | Promise<GlobalAnswer> {
    const path = fields.text();
    fields.end();
    return this.#cancel(streamLocalKey(path));
  }

  #serve(
    key: string,
    { listener: number, descriptors }: Listening,
    channelType: string,
    isTcp: boolean,
    openData: (accepted: Accepted) => Buffer,
  ): void {
    const listener = new ForwardListener({
      descriptors,
      channelType,
      openData,
      opener: this.#options.opener(),
      maxConnections: channelsPerConnection,
      isTcp,
      room: this.#options.room,
      onTrouble: this.#options.onTrouble,
    });
    // With StreamLocalBindUnlink a path can be had twice: the older listener has lost its name.
    const older = this.#forwards.get(key);
    if (older !== undefined) {
      older.listener.close();
      // What comes of it changes nothing here.
      void this.#options.host.closeListener(older.number);
    }
    this.#forwards.set(key, { number, listener });
    if (this.#isOver) {
      this.end();
    }
  }

  #cancel(key: string): GlobalAnswer | Promise<GlobalAnswer> {
    const forward = this.#forwards.get(key);
    if (forward === undefined) {
      return false;
    }
    this.#forwards.delete(key);
    forward.listener.close();
    return this.#options.host.closeListener(forward.number).then(() => true);
  }
}
