/**
 * The connections of one worker: for each the SSH stack, put together from its layers. A fault ends
 * the connection that it belongs to. Runs in: worker.
 */
import { Socket } from 'node:net';
import { hostname } from 'node:os';
import { Duplex } from 'node:stream';
import { ByApplication } from '../base/errors.ts';
import { DescriptorSocket } from '../base/descriptor-socket.native.ts';
import { cutLine } from '../audit/text.ts';
import { closeDescriptor, setQuickAck, setTrafficClass } from '../base/socket.native.ts';
import { Connector } from '../forwarding/connector.ts';
import { serveDesktopAgent } from '../forwarding/desktop-agent.ts';
import { directStreamLocal } from '../forwarding/direct-streamlocal.ts';
import { directTcpip, type InternalTarget } from '../forwarding/direct-tcpip.ts';
import { RemoteForwards } from '../forwarding/remote-forwards.ts';
import { SocketRoom } from '../forwarding/room.ts';
import { refuseTunnel } from '../forwarding/tun.ts';
import type { LoginSettings } from '../monitor/connection.ts';
import * as link from '../monitor/link.ts';
import { type InternalSubsystems, sessionChannel } from '../session/session-channel.ts';
import type { SessionExitStatus } from '../session/host.ts';
import { Inactivity } from '../ssh/connection/inactivity.ts';
import { Keepalive } from '../ssh/connection/keepalive.ts';
import {
  announceHostKeys,
  hostKeysProve,
  understandsHostKeys,
} from '../ssh/connection/host-keys.ts';
import { type ChannelOpener, Connection } from '../ssh/connection/mux.ts';
import { PacketMemory } from '../ssh/transport/packet-memory.ts';
import { createServerTransport } from '../ssh/transport/server-transport.ts';
import type { ServerTransportSettings } from '../ssh/transport/settings.ts';
import type { Transport } from '../ssh/transport/transport.ts';
import { UserauthService } from '../ssh/userauth/service.ts';
import type { Peer } from '../ssh/wire/peer.ts';
import type { Desktops } from '../../subsystems/display/desktops.ts';
import { MonitorDesktops, ViewerTable } from '../../subsystems/display/monitor-desktops.ts';
import { defaultProtocol } from '../../subsystems/display/engines/index.ts';
import { forwardedDesktop } from '../../subsystems/display/forwarded.ts';
import { subsystemPaces, subsystems } from '../../subsystems/index.ts';
import { MonitorAuthority } from './worker-authority.ts';
import { ending, silence, unused } from './worker-ending.ts';
import { handshakeChannel } from './worker-handshake.ts';
import { MonitorForwards } from './worker-forwards.ts';
import { MonitorSessions } from './worker-sessions.ts';
import { MonitorProver, MonitorSigner } from './worker-signer.ts';

interface Live {
  readonly transport: Transport;
  readonly sessions: MonitorSessions;
  readonly viewers: ViewerTable;
  /** undefined: nobody is logged in. */
  opener(): ChannelOpener | undefined;
  watch(settings: LoginSettings): void;
}

/** A socket, or the two ends of pipes that -i was given. */
function streamOf(descriptors: readonly number[], lentBuffer: Buffer): Duplex {
  const [input, output] = descriptors;
  if (output === undefined) {
    return new DescriptorSocket(input as number, 'both', lentBuffer);
  }
  return Duplex.from({
    readable: new Socket({ fd: input as number, readable: true, writable: false }),
    writable: new Socket({ fd: output, readable: false, writable: true }),
  });
}

/** As much as is handled from one connection in a turn. */
const inputBufferBytes = 256 * 1024;
/** IPQoS is one byte; more is none. */
const largestClass = 0xff;
const noClass = 0x100;
/** What a pipe holds, and so what one read gives. */
const lentBufferBytes = 64 * 1024;

export class WorkerConnections {
  readonly #peer: Peer;
  readonly #transportSettings: ServerTransportSettings;
  readonly #announcedHostKeys: readonly Buffer[];
  readonly #lentBuffer = Buffer.allocUnsafeSlow(lentBufferBytes);
  readonly #room: SocketRoom;
  readonly #inputBuffer = Buffer.allocUnsafeSlow(inputBufferBytes);
  readonly #packetMemory = new PacketMemory();
  readonly #live = new Map<number, Live>();
  #isDraining = false;

  constructor(peer: Peer, settings: link.WorkerSettings) {
    this.#peer = peer;
    this.#announcedHostKeys = settings.announcedHostKeys.map((blob) => Buffer.from(blob, 'base64'));
    this.#room = new SocketRoom(settings.descriptorLimit, this.#lentBuffer);
    this.#transportSettings = {
      version: settings.version,
      algorithms: settings.algorithms,
      hostKeys: settings.hostKeys.map((blob) => Buffer.from(blob, 'base64')),
      rekeyBytes: settings.rekeyBytes,
      rekeyMs: settings.rekeyMs,
      userKeyAlgorithms: settings.acceptedUserKeyAlgorithms,
    };
  }

  begin(): void {
    this.#peer.onNotice(link.Connection, (values, descriptors) => this.open(values, descriptors));
    this.#peer.onNotice(link.CloseConnection, ({ connection, reason, peerText }) => {
      const { transport } = this.#live.get(connection) ?? {};
      if (reason === 0) {
        transport?.destroy();
      } else {
        transport?.disconnect(new ByApplication(peerText, peerText, reason));
      }
    });
    this.#peer.onNotice(
      link.SessionExit,
      ({ connection, session, status, signalName, coreDumped }) => {
        const exit: SessionExitStatus =
          signalName === ''
            ? { is: 'exited', status }
            : { is: 'signalled', signalName, coreDumped };
        this.#live.get(connection)?.sessions.exited(session, exit);
      },
    );
    this.#peer.onNotice(link.X11End, ({ connection, session }) =>
      this.#live.get(connection)?.sessions.displayEnded(session),
    );
    this.#peer.onNotice(link.LoginSettings, ({ connection, ...settings }) =>
      this.#live.get(connection)?.watch(settings),
    );
    this.#peer.onNotice(link.ViewerEnd, ({ connection, viewer, why, status }) =>
      this.#live.get(connection)?.viewers.end(viewer, { why, status }),
    );
    this.#peer.onNotice(link.ViewerWarning, ({ connection, viewer, line }) =>
      this.#live.get(connection)?.viewers.warn(viewer, line),
    );
    this.#peer.onNotice(link.DesktopAgentSocket, (values, descriptors) =>
      this.#serveDesktopAgent(values, descriptors),
    );
    this.#peer.onNotice(link.Drain, () => {
      this.#isDraining = true;
      this.#exitIfDone();
    });
  }

  #log(level: string, connection: number, line: string): void {
    this.#peer.notify(link.Log, { level, connection, line: cutLine(line) });
  }

  /** Takes the descriptors over. */
  #serveDesktopAgent(
    values: { readonly connection: number; readonly socket: number },
    [descriptor, ...more]: readonly number[],
  ): void {
    const over = (): void => this.#peer.notify(link.DesktopAgentClosed, values);
    more.forEach(closeDescriptor);
    const opener = this.#live.get(values.connection)?.opener();
    if (descriptor === undefined) {
      over();
    } else if (opener === undefined) {
      closeDescriptor(descriptor); // the connection has ended in this moment
      over();
    } else {
      void serveDesktopAgent(descriptor, opener, this.#room, over);
    }
  }

  /** Takes the descriptors over. */
  open(
    values: { readonly connection: number; readonly cookie: Buffer },
    descriptors: readonly number[],
  ): void {
    const { connection } = values;
    const [descriptor] = descriptors;
    if (descriptor === undefined) {
      this.#log('ERROR', connection, 'a connection came without a descriptor');
      return;
    }
    let stream: Duplex;
    try {
      stream = streamOf(descriptors, this.#inputBuffer);
    } catch (error) {
      descriptors.forEach(closeDescriptor);
      this.#peer.notify(link.ConnectionClosed, {
        connection,
        why: (error as Error).message,
        initiator: link.endedBy.us,
      });
      return;
    }
    this.#serve(connection, stream, descriptor, values.cookie);
  }

  #serve(connection: number, stream: Duplex, descriptor: number, cookie: Buffer): void {
    const socket = stream instanceof DescriptorSocket ? stream : undefined;
    const isTcp = socket?.remoteAddress !== undefined;
    const transport = createServerTransport({
      stream,
      settings: this.#transportSettings,
      signer: new MonitorSigner(this.#peer, connection, cookie),
      // The descriptor is the stream's: it is not touched once that is destroyed.
      ...(socket === undefined
        ? {}
        : { memory: this.#packetMemory, read: (take) => socket.start(take, () => {}) }),
      ...(isTcp ? { afterRead: () => stream.destroyed || setQuickAck(descriptor) } : {}),
      onBug: (error) =>
        this.#log(
          'ERROR',
          connection,
          `internal error: ${(error as Error).stack ?? String(error)}`,
        ),
    });
    let mux: Connection | undefined;
    let trafficClasses = { interactive: noClass, bulk: noClass };
    const sessions = new MonitorSessions({
      peer: this.#peer,
      connection,
      lentBuffer: this.#lentBuffer,
      opener: () => mux as Connection, // whoever asks is a channel of it
      room: this.#room,
      onTraffic: (isInteractive) => {
        const value = isInteractive ? trafficClasses.interactive : trafficClasses.bulk;
        if (isTcp && !stream.destroyed && value <= largestClass) {
          setTrafficClass(descriptor, value);
        }
      },
      log: (level, line) => this.#log(level, connection, line),
    });
    const forwards = new MonitorForwards(this.#peer, connection);
    const connector = new Connector(this.#room);
    const remoteForwards = new RemoteForwards({
      host: forwards,
      room: this.#room,
      opener: () => mux as Connection,
      onTrouble: (error) => this.#log('ERROR', connection, `forwarding: ${error.message}`),
    });
    const viewers = new ViewerTable();
    const authority = new MonitorAuthority(this.#peer, connection);
    const desktopsFor = (session: number, user = authority.user): Desktops =>
      new MonitorDesktops({
        peer: this.#peer,
        user,
        connection,
        session,
        viewers,
        openStream: (display) => this.#room.open(display),
      });
    const fault = (error: unknown): void => {
      transport.disconnect(error instanceof Error ? error : new Error(String(error)));
    };
    const userauth = new UserauthService(transport, authority, () => {
      if (authority.isHandshake) {
        const channel = handshakeChannel({
          peer: this.#peer,
          connection,
          hostName: ownName(),
          desktopsFor,
          fault,
          over: () => transport.disconnect(new ByApplication('bye', 'the dialogue of nx is over')),
        });
        mux = new Connection(transport, {
          globalRequests: new Map(),
          channelTypes: new Map([['session', channel]]),
        });
        return mux;
      }
      this.#announceHostKeys(transport);
      mux = new Connection(transport, {
        globalRequests: new Map([
          hostKeysProve(new MonitorProver(this.#peer, connection)),
          ...remoteForwards.requests,
        ]),
        channelTypes: new Map([
          [
            'session',
            sessionChannel(sessions, internalSubsystems(desktopsFor, fault), subsystemPaces),
          ],
          ['direct-tcpip', directTcpip(forwards, connector, forwardTargets(desktopsFor))],
          ['direct-streamlocal@openssh.com', directStreamLocal(forwards, connector)],
          ['tun@openssh.com', refuseTunnel],
        ]),
      });
      return mux;
    });
    let keepalive: Keepalive | undefined;
    let inactivity: Inactivity | undefined;
    let endedFor: typeof silence | typeof unused | undefined;
    const watch = (settings: LoginSettings): void => {
      keepalive?.stop();
      inactivity?.stop();
      trafficClasses = { interactive: settings.interactiveClass, bulk: settings.bulkClass };
      transport.limitKeys({
        rekeyBytes: Number(settings.rekeyBytes),
        rekeyMs: Number(settings.rekeyMs),
      });
      if (settings.aliveIntervalMs > 0) {
        keepalive = new Keepalive({
          intervalMs: settings.aliveIntervalMs,
          countMax: settings.aliveCountMax,
          ask: () => mux?.askAlive(),
          onSilent: () => {
            endedFor = silence;
            transport.destroy();
          },
        });
      }
      if (settings.channelTimeouts.length > 0 || settings.unusedSeconds > 0) {
        inactivity = new Inactivity({
          channels: settings.channelTimeouts,
          unusedSeconds: settings.unusedSeconds,
          openChannels: () => mux?.openChannels ?? [],
          isUnused: () => mux?.isUnused ?? true,
          onInactive: ({ number, timeoutType }, seconds) =>
            this.#log(
              'DEBUG1',
              connection,
              `channel ${number} (${timeoutType}): closing after ${seconds} seconds of inactivity`,
            ),
          onUnused: () => {
            endedFor = unused;
            transport.disconnect(new ByApplication(unused.why, unused.why));
          },
        });
      }
    };
    transport.onPayload = (payload) => {
      keepalive?.heard();
      userauth.receive(payload);
    };
    transport.onDrain = () => userauth.drained();
    transport.onClose = (error, peerReason) => {
      keepalive?.stop();
      inactivity?.stop();
      userauth.closed();
      sessions.closed();
      connector.end();
      remoteForwards.end();
      this.#live.delete(connection);
      const end = endedFor ?? ending(error, peerReason, transport.peerVersion !== '');
      // A client's words may be as long as a packet, and a frame of the link is shorter.
      this.#peer.notify(link.ConnectionClosed, { connection, ...end, why: cutLine(end.why) });
      this.#exitIfDone();
    };
    this.#live.set(connection, { transport, sessions, viewers, opener: () => mux, watch });
  }

  #announceHostKeys(transport: Transport): void {
    const keys = this.#announcedHostKeys;
    if (keys.length > 0 && understandsHostKeys(transport.peerVersion)) {
      transport.send(announceHostKeys(keys));
    }
  }

  #exitIfDone(): void {
    if (this.#isDraining && this.#live.size === 0) {
      // After what was said in this turn has left.
      setImmediate(() => process.exit(0));
    }
  }
}

function ownName(): string {
  return hostname().split('.', 1)[0] as string;
}

/** `desktopsFor(session)`: the desktops as this session may ask for them. */
function internalSubsystems(
  desktopsFor: (session: number) => Desktops,
  fault: (error: unknown) => void,
): InternalSubsystems {
  const hostName = ownName();
  return new Map(
    [...subsystems].map(([name, run]) => [
      name,
      (channel, { session }) =>
        run(channel, { desktops: desktopsFor(session), hostName, defaultProtocol, fault }),
    ]),
  );
}

function forwardTargets(
  desktopsFor: (session: number) => Desktops,
): ReadonlyMap<string, InternalTarget> {
  return new Map([['rfb', () => forwardedDesktop(desktopsFor(0))]]);
}
