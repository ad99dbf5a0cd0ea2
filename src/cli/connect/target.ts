/**
 * `[user@]host[:port]` as written on the command line. Runs in: user.
 */
import { ClientFailure } from '../../ssh/client/failure.ts';

export interface Target {
  readonly user: string | null;
  readonly host: string;
  readonly port: number | null;
}

/** The user is everything before the last `@`; IPv6 takes brackets when a port follows. */
export function parseTarget(text: string): Target {
  const at = text.lastIndexOf('@');
  const user = at < 0 ? null : text.slice(0, at);
  const match =
    /^(?:\[([^\]]+)\]|([^:\]]+)|([0-9A-Fa-f:.%]+:[0-9A-Za-z:.%]*))(?::(\d{1,5}))?$/.exec(
      text.slice(at + 1),
    );
  const host = match?.[1] ?? match?.[2] ?? match?.[3];
  if (host === undefined || user === '') {
    throw new ClientFailure('usage', `not [user@]host[:port]: ${text}`);
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: refused in names
  if (host.startsWith('-') || /[\x00-\x20\x7f]/.test(host)) {
    throw new ClientFailure('usage', `not a host name: ${text}`);
  }
  return { user, host, port: match?.[4] === undefined ? null : parsePort(match[4]) };
}

const maxJumpHosts = 8;

/** The hosts of ProxyJump, in the order of the way; each is checked as a target. */
export function jumpHosts(text: string): readonly string[] {
  const hosts = text.split(',').map((host) => host.trim().replace(/^ssh:\/\//, ''));
  if (hosts.length > maxJumpHosts) {
    throw new ClientFailure('usage', `ProxyJump: more than ${maxJumpHosts} hosts`);
  }
  for (const host of hosts) parseTarget(host);
  return hosts;
}

export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535) throw new ClientFailure('usage', `not a port: ${text}`);
  return port;
}

export interface Geometry {
  readonly width: number;
  readonly height: number;
}

export const maxSidePixels = 16384;

export function parseGeometry(text: string): Geometry {
  const match = /^(\d{1,5})x(\d{1,5})$/.exec(text);
  const width = Number(match?.[1] ?? 0);
  const height = Number(match?.[2] ?? 0);
  if (width < 1 || height < 1 || width > maxSidePixels || height > maxSidePixels) {
    throw new ClientFailure('usage', `not a geometry like 1280x800: ${text}`);
  }
  return { width, height };
}
