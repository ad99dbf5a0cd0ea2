/**
 * The keywords of sshd_config(5) about forwarding, as rows for server-keywords.ts. Pure.
 * Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import { type Destination, parseDestination } from '../../keys/destination.ts';
import type { GatewayPorts, TcpForwarding } from './config.ts';
import type { ServerDraft } from './server-draft.ts';
import { flag, row } from './server-row.ts';
import { destinations, oneOf, several, single } from './values.ts';
import type { Words } from './words.ts';

const forwardingDirections = {
  yes: 'yes',
  all: 'yes',
  no: 'no',
  remote: 'remote',
  local: 'local',
} as const;

function destinationsText(list: readonly Destination[] | 'any' | 'none'): string {
  if (typeof list === 'string') {
    return list;
  }
  return list
    .map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`)
    .join(' ');
}

/** A bare port stands for any address. */
function listenDestinations(words: Words): readonly Destination[] | 'any' | 'none' {
  const list = several(words);
  const [first] = list;
  if (first === 'any' || first === 'none') {
    return single(words) as 'any' | 'none';
  }
  return list.map((word) => {
    const destination = parseDestination(word.includes(':') ? word : `*:${word}`);
    if (destination === undefined) {
      throw new ConfigError(`bad port number in "${word}"`);
    }
    return destination;
  });
}

const largestMask = 0o777;

function octalMask(words: Words): number {
  const word = single(words);
  const mask = Number.parseInt(word, 8);
  if (!/^[0-7]{1,6}$/.test(word) || mask > largestMask) {
    throw new ConfigError(`"${word}" is not an octal mask`);
  }
  return mask;
}

export const streamLocalBindMaskRow = row({
  name: 'StreamLocalBindMask',
  argument: 'octal mask',
  summary:
    'What is taken from the mode of Unix sockets that remote forwarding makes. Of several lines the last counts.',
  defaultText: '0177',
  field: 'streamLocalBindMask',
  parse: octalMask,
  // As sshd, which has the last one here.
  add: (_before, next) => next,
  counts: 'last',
  dump: (config) => `0${config.streamLocalBindMask.toString(8)}`,
});

export const gatewayPortsRow = row({
  name: 'GatewayPorts',
  argument: 'no | yes | clientspecified',
  summary:
    'Where remote forwarding listens: `no` on the loopback, `yes` on every address, `clientspecified` where the client says.',
  defaultText: 'no',
  field: 'gatewayPorts',
  parse: oneOf<GatewayPorts>({ clientspecified: 'clientspecified', yes: 'yes', no: 'no' }),
  dump: (config) => config.gatewayPorts,
});

export const allowTcpForwardingRow = row({
  name: 'AllowTcpForwarding',
  argument: 'yes | all | no | local | remote',
  summary: 'TCP forwarding; `local` is direct-tcpip only, `remote` is listening only.',
  defaultText: 'yes',
  field: 'allowTcpForwarding',
  parse: oneOf<TcpForwarding>(forwardingDirections),
  dump: (config) => config.allowTcpForwarding,
});

export const allowAgentForwardingRow = flag(
  'AllowAgentForwarding',
  'allowAgentForwarding',
  'yes',
  'The agent of the client may be used in sessions and desktops.',
);

export const disableForwardingRow = flag(
  'DisableForwarding',
  'disableForwarding',
  'no',
  'Forwarding of every kind is off, whatever else says yes.',
);

export const allowStreamLocalForwardingRow = row({
  name: 'AllowStreamLocalForwarding',
  argument: 'yes | all | no | local | remote',
  summary: 'The same for Unix sockets; to listen on one AllowTcpForwarding has to allow it too.',
  defaultText: 'yes',
  field: 'allowStreamLocalForwarding',
  parse: oneOf<TcpForwarding>(forwardingDirections),
  dump: (config) => config.allowStreamLocalForwarding,
});

export const streamLocalBindUnlinkRow = flag(
  'StreamLocalBindUnlink',
  'streamLocalBindUnlink',
  'no',
  'A file that has the name of a Unix socket to be made is removed first.',
);

export const permitOpenRow = row({
  name: 'PermitOpen',
  argument: 'host:port ... | any | none',
  summary: 'Where direct-tcpip may go; names are compared as sent.',
  defaultText: 'any',
  field: 'permitOpen',
  parse: destinations,
  dump: (config) => destinationsText(config.permitOpen),
});

export const permitListenRow = row({
  name: 'PermitListen',
  argument: 'port ... | host:port ... | any | none',
  summary:
    'Where remote forwarding may listen, compared with what the client sends; a host may have `*` and `?`.',
  defaultText: 'any',
  field: 'permitListen',
  parse: listenDestinations,
  dump: (config) => destinationsText(config.permitListen),
});

export const forwardingDefaults = {
  allowTcpForwarding: 'yes',
  allowAgentForwarding: true,
  disableForwarding: false,
  permitOpen: 'any',
  permitListen: 'any',
  gatewayPorts: 'no',
  allowStreamLocalForwarding: 'yes',
  streamLocalBindMask: 0o177,
  streamLocalBindUnlink: false,
} satisfies Partial<ServerDraft>;
