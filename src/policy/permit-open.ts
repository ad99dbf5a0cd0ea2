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

/** direct-streamlocal: AllowStreamLocalForwarding and the key. */
export function mayOpenSocket({ streamLocalForwarding }: Grant): Verdict {
  return streamLocalForwarding === 'yes' || streamLocalForwarding === 'local'
    ? allowed
    : refused('forwarding-off', 'forwarding of Unix sockets is off for this login');
}

export function socketRefusalLine(originAddress: string, originPort: number, path: string): string {
  return `refused streamlocal port forward: originator ${originAddress} port ${originPort}, target ${path}`;
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
