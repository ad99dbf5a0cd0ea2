/**
 * KexAlgorithms, Ciphers, MACs, HostKeyAlgorithms and CASignatureAlgorithms of ssh_config(5), with + - ^
 * and wildcards as ssh has them. What ssh knows and is not implemented is left out. Pure.
 * Runs in: user.
 */
import { algorithmList } from '../../policy/algorithm-list.ts';
import { authorityNames } from '../../policy/key-algorithm-names.ts';
import { algorithmKinds, transportAlgorithms } from '../../policy/transport-algorithms.ts';
import type { ClientOffer } from './agreement.ts';

/**
 * By default whatever is implemented: a client does not choose its servers, and what a server would
 * rather not use is its own to leave out. SHA-1 is nowhere among it.
 */
const kinds = Object.fromEntries(
  Object.values(algorithmKinds).map((kind) => [
    kind.keyword.toLowerCase(),
    { ...kind, rows: kind.rows.map((row) => ({ ...row, default: true })) },
  ]),
);

export const algorithmOptions = [
  'kexalgorithms',
  'ciphers',
  'macs',
  'hostkeyalgorithms',
  'casignaturealgorithms',
] as const;
export type AlgorithmOption = (typeof algorithmOptions)[number];

/** `text` undefined: the default. Throws ConfigError for a name that nobody knows, and for no name. */
export function algorithmsOf(option: AlgorithmOption, text: string | undefined): readonly string[] {
  if (option === 'casignaturealgorithms') {
    return text === undefined ? authorityNames.defaults : algorithmList(text, authorityNames);
  }
  const kind = kinds[option];
  if (kind === undefined) throw new Error(`no algorithms for ${option}`);
  return text === undefined
    ? kind.rows.map(({ name }) => name)
    : transportAlgorithms(kind)({ keyword: kind.keyword, words: [text], rest: text }).names;
}

/** Everything that is implemented. */
export const wholeOffer: ClientOffer = {
  kex: algorithmsOf('kexalgorithms', undefined),
  hostKey: algorithmsOf('hostkeyalgorithms', undefined),
  cipher: algorithmsOf('ciphers', undefined),
  mac: algorithmsOf('macs', undefined),
};
