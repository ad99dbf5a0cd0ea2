/**
 * What a connection of the account `nx` has in place of all channels: one `session`, whose `shell` is
 * the dialogue. What the monitor refuses besides is not even asked here. Runs in: worker.
 */
import type { Channel } from '../ssh/connection/channel.ts';
import type { ChannelRequestHandler } from '../ssh/connection/channel-requests.ts';
import type { ChannelOpenHandler } from '../ssh/connection/mux.ts';
import * as link from '../monitor/link.ts';
import type { Peer } from '../ssh/wire/peer.ts';
import type { Reader } from '../ssh/wire/reader.ts';
import type { Desktops, LoginContext } from '../../subsystems/display/desktops.ts';
import { nxagent } from '../../subsystems/display/engines/nxagent/nxagent.ts';
import { handshake } from '../../subsystems/display/handshake.ts';

export interface HandshakeOptions {
  readonly peer: Peer;
  readonly connection: number;
  readonly hostName: string;
  /** The desktops of whoever has logged in. */
  desktopsFor(session: number, user: string): Desktops;
  fault(error: unknown): void;
  /** The channel has gone, and the client has not: the connection is of no use. */
  over(): void;
}

/** RFC 4254 §5.1 SSH_OPEN_ADMINISTRATIVELY_PROHIBITED */
const prohibited = 1;
const maxCommandBytes = 256;
/** A client that is told to go while it has the last lines unread may show none of them. */
const farewellMs = 3_000;
/** Clients of the time name a host, for servers that have several. */
const harmlessCommand = /^(?:nxserver|host=[A-Za-z0-9._:-]*)?$/;

export function handshakeChannel(options: HandshakeOptions): ChannelOpenHandler {
  let hasOpened = false;
  return async (fields: Reader) => {
    fields.end();
    if (hasOpened) {
      return { refused: prohibited, text: 'one session only' };
    }
    hasOpened = true;
    return { opened: (channel) => serve(channel, options), abandoned: () => leave(options) };
  };
}

function leave({ over }: HandshakeOptions): void {
  setTimeout(over, farewellMs).unref();
}

function serve(channel: Channel, options: HandshakeOptions): void {
  let hasStarted = false;
  const start = (): false | (() => void) => {
    if (hasStarted) {
      return false;
    }
    hasStarted = true;
    return () => handshake(channel, contextOf(options));
  };
  channel.onGone(() => leave(options));
  channel.requests = new Map<string, ChannelRequestHandler>([
    [
      'shell',
      (fields) => {
        fields.end();
        return start();
      },
    ],
    [
      'exec',
      (fields) => {
        const command = fields.string();
        fields.end();
        const isHarmless =
          command.length <= maxCommandBytes && harmlessCommand.test(command.toString('latin1'));
        return isHarmless && start();
      },
    ],
  ]);
}

function contextOf({ peer, connection, hostName, desktopsFor, fault }: HandshakeOptions) {
  let desktops: Desktops | undefined;
  const context: LoginContext = {
    hostName,
    defaultProtocol: nxagent.protocol,
    fault,
    get desktops() {
      if (desktops === undefined) {
        throw new Error('desktops in front of the login');
      }
      return desktops;
    },
    async login(user, password) {
      const asked = peer.call(link.NxLogin, { connection, user, password });
      // The frame has its own copy, and is erased with it.
      password.fill(0);
      const { values } = await asked;
      desktops = values.accepted ? desktopsFor(values.session, values.user) : undefined;
      return values.accepted;
    },
  };
  return context;
}
