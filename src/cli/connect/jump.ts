/**
 * The way to a server: straight, or through the hosts of ProxyJump (ssh_config(5)), each a login of
 * its own with its own host key and settings, then a channel direct-tcpip (RFC 4254 §7.2) to the
 * next. Runs in: user.
 */
import type { Duplex } from 'node:stream';
import { ClientFailure } from '../../ssh/client/failure.ts';
import type { ClientSession } from '../../ssh/client/session.ts';
import { ChannelDuplex } from '../../ssh/connection/channel-stream.ts';
import { Writer } from '../../ssh/wire/writer.ts';
import { dial } from './dial.ts';
import { readSettings, type Settings, surroundings } from './settings.ts';

export interface Way {
  readonly socket: Duplex;
  /** The session that carries the socket; null: the network does. */
  readonly through: ClientSession | null;
}

export type HopLogin = (settings: Settings, hopsAhead: number) => Promise<ClientSession>;

/** Configurations that send a host through another, and that one through the first, have no end. */
const maxHops = 8;
/** RFC 4254 §5.1 */
const reasons: Readonly<Record<number, string>> = {
  1: 'administratively prohibited',
  2: 'connect failed',
  3: 'unknown channel type',
  4: 'resource shortage',
};

/** `hopsAhead`: how many hosts wait for this one. Throws ClientFailure. */
export async function reach(
  settings: Settings,
  hopsAhead: number,
  login: HopLogin,
  signal: AbortSignal,
): Promise<Way> {
  const { host, port, jump } = settings;
  const hop = jump && (await readSettings(jump, surroundings(process.env)));
  // `Host *` with a ProxyJump is for every host but the one it names.
  if (!hop || isSame(hop, settings)) {
    const socket = await dial({ ...settings, timeoutMs: settings.connectTimeoutMs }, signal);
    return { socket, through: null };
  }
  if (hopsAhead >= maxHops) {
    throw new ClientFailure('usage', `ProxyJump: more than ${maxHops} hosts on the way to ${host}`);
  }
  const through = await login(hop, hopsAhead + 1);
  try {
    const socket = await openWay(through, settings, signal);
    return { socket, through };
  } catch (error) {
    await through.close();
    signal.throwIfAborted();
    const why = error instanceof ClientFailure ? error.detail : String(error);
    throw new ClientFailure(
      'connection',
      `${host} port ${port} through ${hop.originalHost}: ${why}`,
      { cause: error },
    );
  }
}

function isSame(hop: Settings, { host, port }: Settings): boolean {
  return hop.host === host && hop.port === port;
}

async function openWay(
  through: ClientSession,
  { host, port, connectTimeoutMs }: Settings,
  signal: AbortSignal,
): Promise<Duplex> {
  // What ssh -W says of itself: nobody has connected to a port here.
  const data = new Writer().text(host).uint32(port).text('127.0.0.1').uint32(65535).done();
  const timeout = AbortSignal.timeout(connectTimeoutMs);
  const given = AbortSignal.any([signal, timeout]);
  const abandoned = new Promise<never>((_resolve, reject) => {
    const onAbort = (): void => reject(new ClientFailure('connection', 'connection timed out'));
    given.addEventListener('abort', onAbort, { once: true });
  });
  const lost = through.ended.then((failure) => {
    throw failure ?? new ClientFailure('connection', 'the connection was closed');
  });
  const opened = await Promise.race([through.openChannel('direct-tcpip', data), lost, abandoned]);
  if ('refused' in opened) {
    const reason = reasons[opened.refused] ?? `reason ${opened.refused}`;
    throw new ClientFailure('connection', `${reason}: ${opened.text}`);
  }
  const stream = new ChannelDuplex(opened.opened);
  opened.opened.receive(stream.sink);
  return stream;
}
