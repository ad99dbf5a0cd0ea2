/** A connection over a `MemoryTransport`, and the client's side of it as messages. */
import assert from 'node:assert/strict';
import type { Channel } from '../../src/ssh/connection/channel.ts';
import {
  ChannelClose,
  ChannelData,
  ChannelEof,
  ChannelExtendedData,
  ChannelOpen,
  ChannelOpenConfirmation,
  ChannelRequest,
  ChannelWindowAdjust,
  GlobalRequest,
} from '../../src/ssh/connection/messages.ts';
import { type ChannelOpenHandler, Connection } from '../../src/ssh/connection/mux.ts';
import type { GlobalRequestHandler } from '../../src/ssh/connection/global-requests.ts';
import { MemoryTransport } from './memory-transport.ts';

export interface PeerOptions {
  readonly channelTypes?: ReadonlyMap<string, ChannelOpenHandler>;
  readonly globalRequests?: ReadonlyMap<string, GlobalRequestHandler>;
}

export class ConnectionPeer {
  readonly transport: MemoryTransport;
  readonly connection: Connection;
  /** Channels of types `test` and `session`, as the server sees them. */
  readonly channels: Channel[] = [];

  constructor(options: PeerOptions = {}, transport = new MemoryTransport()) {
    this.transport = transport;
    this.connection = new Connection(this.transport, {
      channelTypes: new Map<string, ChannelOpenHandler>([
        ...['test', 'session'].map((type): [string, ChannelOpenHandler] => [
          type,
          () => ({ opened: (channel) => void this.channels.push(channel), abandoned: () => {} }),
        ]),
        ...(options.channelTypes ?? []),
      ]),
      ...(options.globalRequests === undefined ? {} : { globalRequests: options.globalRequests }),
    });
    this.transport.onPayload = (payload) => this.connection.receive(payload);
    this.transport.onDrain = () => this.connection.drained();
    this.transport.onClose = () => this.connection.closed();
  }

  open(sender = 7, windowBytes = 1 << 20, maxPacketBytes = 32 * 1024, type = 'test'): void {
    this.transport.deliver(
      ChannelOpen.encode({ type, sender, windowBytes, maxPacketBytes, data: Buffer.alloc(0) }),
    );
  }

  /** Opens a channel of type `test` or `session`; the confirmation is taken. */
  opened(sender = 7, windowBytes = 1 << 20, maxPacketBytes = 32 * 1024, type = 'test'): Channel {
    this.open(sender, windowBytes, maxPacketBytes, type);
    const confirmation = this.transport.sent.pop();
    assert.ok(confirmation, 'no confirmation');
    assert.equal(ChannelOpenConfirmation.decode(confirmation).recipient, sender);
    return this.channels.at(-1) as Channel;
  }

  data(recipient: number, data: string | Buffer): void {
    this.transport.deliver(ChannelData.encode({ recipient, data: Buffer.from(data) }));
  }
  extendedData(recipient: number, data: string, type = 1): void {
    this.transport.deliver(
      ChannelExtendedData.encode({ recipient, type, data: Buffer.from(data) }),
    );
  }
  adjust(recipient: number, bytes: number): void {
    this.transport.deliver(ChannelWindowAdjust.encode({ recipient, bytes }));
  }
  eof(recipient: number): void {
    this.transport.deliver(ChannelEof.encode({ recipient }));
  }
  close(recipient: number): void {
    this.transport.deliver(ChannelClose.encode({ recipient }));
  }
  request(recipient: number, name: string, data: Buffer = Buffer.alloc(0), wantReply = true): void {
    this.transport.deliver(ChannelRequest.encode({ recipient, name, wantReply, data }));
  }
  global(name: string, wantReply = true, data: Buffer = Buffer.alloc(0)): void {
    this.transport.deliver(GlobalRequest.encode({ name, wantReply, data }));
  }

  /** Message numbers sent so far, which are forgotten. */
  numbers(): number[] {
    return this.transport.take().map((payload) => payload[0] as number);
  }

  /** Bytes of CHANNEL_DATA and of stderr among what was sent, which is forgotten. */
  bytes(): { readonly stdout: Buffer; readonly stderr: Buffer; readonly largest: number } {
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    for (const payload of this.transport.take()) {
      if (payload[0] === ChannelData.number) {
        stdout.push(ChannelData.decode(payload).data);
      } else if (payload[0] === ChannelExtendedData.number) {
        stderr.push(ChannelExtendedData.decode(payload).data);
      }
    }
    const largest = Math.max(0, ...[...stdout, ...stderr].map((data) => data.length));
    return { stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr), largest };
  }
}
