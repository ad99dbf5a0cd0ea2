/**
 * The keywords of sshd_config(5) about the transport: algorithms, compression, new keys, as rows for server-keywords.ts. Pure.
 * Runs in: monitor, launcher.
 */
import type { ServerDraft } from './server-draft.ts';
import { row, type ServerRow, yesOrNo } from './server-row.ts';
import {
  type AlgorithmKind,
  cipherKind,
  defaultList,
  hostKeyKind,
  kexKind,
  macKind,
  transportAlgorithms,
} from './transport-algorithms.ts';
import { oneOf, rekeyLimit, versionAddendum } from './values.ts';

function algorithms(
  kind: AlgorithmKind,
  field: 'kexAlgorithms' | 'ciphers' | 'macs' | 'hostKeyAlgorithms',
  summary: string,
): ServerRow {
  return row({
    name: kind.keyword,
    argument: '[+-^]name,...',
    summary,
    defaultText: defaultList(kind).names.join(', '),
    field,
    parse: transportAlgorithms(kind),
    stricter: ({ leftOut }) =>
      leftOut.length === 0 ? undefined : `not implemented and left out: ${leftOut.join(', ')}`,
    dump: (config) => config[field].names.join(','),
  });
}

export const ciphersRow = algorithms(cipherKind, 'ciphers', 'Ciphers, the preferred one first.');

export const macsRow = algorithms(macKind, 'macs', 'MACs for the ciphers that need one.');

export const kexAlgorithmsRow = algorithms(kexKind, 'kexAlgorithms', 'Key exchange methods.');

export const hostKeyAlgorithmsRow = algorithms(
  hostKeyKind,
  'hostKeyAlgorithms',
  'Signature algorithms of host keys and of host certificates.',
);

export const compressionRow = row({
  name: 'Compression',
  argument: 'yes | delayed | no',
  summary: 'zlib@openssh.com is offered; it begins after authentication, never before.',
  defaultText: 'yes',
  field: 'compression',
  parse: oneOf<boolean>({ yes: true, delayed: true, no: false }),
  dump: (config) => yesOrNo(config.compression),
});

export const rekeyLimitRow = row({
  name: 'RekeyLimit',
  argument: 'size | default, then perhaps time | none',
  summary: 'New keys after so many bytes in either direction, and after so much time.',
  defaultText: 'default none',
  field: 'rekeyLimit',
  parse: rekeyLimit,
  // As sshd: a line without a time leaves it to the next one that has one.
  add: (before, next) => ({ bytes: before.bytes, ms: before.ms ?? next.ms }),
  counts: 'first',
  dump: ({ rekeyLimit: limit }) => `${limit.bytes} ${limit.ms / 1000}`,
});

export const versionAddendumRow = row({
  name: 'VersionAddendum',
  argument: 'text | none',
  summary: 'Stands behind the identification that the server sends.',
  defaultText: 'none',
  field: 'versionAddendum',
  parse: versionAddendum,
  dump: (config) => (config.versionAddendum === '' ? 'none' : config.versionAddendum),
});

export const transportDefaults = {
  ciphers: defaultList(cipherKind),
  macs: defaultList(macKind),
  kexAlgorithms: defaultList(kexKind),
  hostKeyAlgorithms: defaultList(hostKeyKind),
  compression: true,
  rekeyLimit: { bytes: 0, ms: undefined },
  versionAddendum: '',
} satisfies Partial<ServerDraft>;
