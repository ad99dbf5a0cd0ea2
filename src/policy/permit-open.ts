/**
 * direct-tcpip: AllowTcpForwarding, PermitOpen and the key's permitopen= all have to agree
 * (sshd_config(5)). Names are compared as the client sent them. Pure. Runs in: monitor.
 */
import { includesDestination } from '../../keys/destination.ts';
import type { Grant } from './grant.ts';
import { allowed, refused, type Verdict } from './verdict.ts';

/** Who asks, for sshd's log line. */
export interface OpenRequester {
  readonly remoteAddress: string;
  readonly remotePort: number;
}

/** `detail` is short; `openRefusalLine` makes sshd's line of it. */
export function mayOpen(grant: Grant, host: string, port: number): Verdict {
  if (grant.tcpForwarding !== 'yes' && grant.tcpForwarding !== 'local') {
    return refused('forwarding-off', 'TCP forwarding is off for this login');
  }
  const { permitOpenByConfig, permitOpenByKey } = grant;
  const byConfig =
    permitOpenByConfig === 'any' ||
    (permitOpenByConfig !== 'none' && includesDestination(permitOpenByConfig, host, port));
  if (!byConfig) {
    return refused('permitopen-config', 'PermitOpen does not list the destination');
  }
  if (permitOpenByKey !== undefined && !includesDestination(permitOpenByKey, host, port)) {
    return refused('permitopen-key', 'permitopen= of the key does not list the destination');
  }
  return allowed;
}

/** Of a Unix socket: only `*` stands for it. */
const noPort = -1;

/**
 * direct-streamlocal: AllowStreamLocalForwarding and the key; and, as in sshd, what is said of ports:
 * AllowTcpForwarding, PermitOpen and permitopen= with the path as the host.
 */
export function mayOpenSocket(grant: Grant, path: string): Verdict {
  const { streamLocalForwarding } = grant;
  if (streamLocalForwarding !== 'yes' && streamLocalForwarding !== 'local') {
    return refused('socket-forwarding-off', 'forwarding of Unix sockets is off for this login');
  }
  return mayOpen(grant, path, noPort);
}

/** sshd's two lines, as for ports. */
export function socketRefusalLine(
  reason: string,
  {
    originAddress,
    originPort,
    path,
  }: {
    readonly originAddress: string;
    readonly originPort: number;
    readonly path: string;
  },
): string {
  return reason === 'socket-forwarding-off'
    ? `refused streamlocal port forward: originator ${originAddress} port ${originPort}, target ${path}`
    : `Received request to connect to path ${path}, but the request was denied.`;
}

export interface OpenRequest extends OpenRequester {
  readonly host: string;
  readonly port: number;
  readonly originAddress: string;
  readonly originPort: number;
}

/** sshd's two lines: forwarding is off as a whole, or for this destination. */
export function openRefusalLine(reason: string, request: OpenRequest): string {
  const { host, port } = request;
  return reason === 'forwarding-off'
    ? `refused local port forward: originator ${request.originAddress} port ${request.originPort}, target ${host} port ${port}`
    : `Received request from ${request.remoteAddress} port ${request.remotePort} to connect to host ${host} port ${port}, but the request was denied.`;
}
