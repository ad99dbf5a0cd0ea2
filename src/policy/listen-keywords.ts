/**
 * The keywords of sshd_config(5) about where the daemon listens, as rows for server-keywords.ts. Pure.
 * Runs in: monitor, launcher.
 */
import type { AddressFamily, ServerConfig } from './config.ts';
import type { ServerDraft } from './server-draft.ts';
import { concatAll, concatBounded, row } from './server-row.ts';
import { absolutePath, listenSpec, oneOf, port, single } from './values.ts';

const maxPorts = 256;

function listenText({ address, family, port }: ServerConfig['listenAddresses'][number]): string {
  return family === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}

export const portRow = row({
  name: 'Port',
  argument: 'number',
  summary: 'A port to listen on. Does not count where a ListenAddress names its own port.',
  defaultText: '22',
  field: 'ports',
  parse: (words) => [port(words)],
  add: concatBounded(maxPorts),
  addAll: concatAll,
  dump: (config) => config.ports.map(String),
});

export const addressFamilyRow = row({
  name: 'AddressFamily',
  argument: 'any | inet | inet6',
  summary: 'Which addresses to listen on.',
  defaultText: 'any',
  field: 'addressFamily',
  parse: oneOf<AddressFamily>({ inet: 'inet', inet6: 'inet6', any: 'any' }),
  dump: (config) => config.addressFamily,
});

export const listenAddressRow = row({
  name: 'ListenAddress',
  argument: 'host | address | host:port | [address]:port',
  summary: 'Where to listen; without a port of its own on every Port.',
  defaultText: 'every address',
  field: 'listen',
  parse: (words) => [listenSpec(words)],
  add: concatBounded(maxPorts),
  addAll: concatAll,
  dump: (config) => config.listenAddresses.map(listenText),
});

export const pidFileRow = row({
  name: 'PidFile',
  argument: 'file | none',
  summary: 'Where the process id of the daemon is written.',
  defaultText: '/run/sshd.pid',
  field: 'pidFile',
  parse: (words, place) => absolutePath(single(words), place),
  dump: (config) => config.pidFile ?? 'none',
});

export const listenDefaults = {
  ports: [22],
  addressFamily: 'any',
  listen: [],
  pidFile: '/run/sshd.pid',
} satisfies Partial<ServerDraft>;
