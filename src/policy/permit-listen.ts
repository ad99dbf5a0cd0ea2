/**
 * Remote forwarding: AllowTcpForwarding, PermitListen and the key's permitlisten= all have to agree,
 * and GatewayPorts says where the listener is made (sshd_config(5)). Pure. Runs in: monitor.
 */
import type { Destination } from '../../keys/destination.ts';
import { matchesPattern } from '../../keys/pattern.ts';
import type { GatewayPorts } from './config.ts';
import type { Grant } from './grant.ts';
import type { OpenRequester } from './permit-open.ts';
import { allowed, refused, type Verdict } from './verdict.ts';

const firstUnprivilegedPort = 1024;

/** The host is compared as it was sent, without case; the list's may be a pattern. */
function includesListener(list: readonly Destination[], host: string, port: number): boolean {
  const lowerCase = host.toLowerCase();
  return list.some(
    (row) => (row.port === '*' || row.port === port) && matchesPattern(lowerCase, row.host),
  );
}

function isForwardingOn(direction: Grant['tcpForwarding']): boolean {
  return direction === 'yes' || direction === 'remote';
}

/** Ports below 1024 are root's: the kernel says so too, where it has not been told otherwise. */
export function mayListen(grant: Grant, uid: number, host: string, port: number): Verdict {
  if (!isForwardingOn(grant.tcpForwarding)) {
    return refused('forwarding-off', 'TCP forwarding is off for this login');
  }
  if (port !== 0 && port < firstUnprivilegedPort && uid !== 0) {
    return refused('privileged-port', 'the port is below 1024');
  }
  const { permitListenByConfig, permitListenByKey } = grant;
  const byConfig =
    permitListenByConfig === 'any' ||
    (permitListenByConfig !== 'none' && includesListener(permitListenByConfig, host, port));
  if (!byConfig) {
    return refused('permitlisten-config', 'PermitListen does not list the address');
  }
  if (permitListenByKey !== undefined && !includesListener(permitListenByKey, host, port)) {
    return refused('permitlisten-key', 'permitlisten= of the key does not list the address');
  }
  return allowed;
}

/** As in sshd: AllowTcpForwarding has to allow listening too, and PermitListen says nothing of it. */
export function mayListenOnSocket(grant: Grant): Verdict {
  return isForwardingOn(grant.streamLocalForwarding) && isForwardingOn(grant.tcpForwarding)
    ? allowed
    : refused('forwarding-off', 'forwarding of Unix sockets is off for this login');
}

export function listenRefusalLine(
  { remoteAddress, remotePort }: OpenRequester,
  host: string,
  port: number,
): string {
  return `Received request from ${remoteAddress} port ${remotePort} to remote forward to host ${host} port ${port}, but the request was denied.`;
}

export type BindPlace =
  | { readonly is: 'address'; readonly address: string }
  | { readonly is: 'loopback' | 'wildcard' };

/**
 * Where a listener is made for what the client asked. With `clientspecified` the empty address and
 * `*` are all addresses, `localhost` the loopback of every family; otherwise the client may only
 * choose one of the two families of the loopback.
 */
export function bindPlace(gatewayPorts: GatewayPorts, host: string): BindPlace {
  const isLoopback = host === '127.0.0.1' || host === '::1';
  switch (gatewayPorts) {
    case 'yes':
      return { is: 'wildcard' };
    case 'clientspecified':
      if (host === '' || host === '*') {
        return { is: 'wildcard' };
      }
      return host === 'localhost' ? { is: 'loopback' } : { is: 'address', address: host };
    default:
      return isLoopback ? { is: 'address', address: host } : { is: 'loopback' };
  }
}
