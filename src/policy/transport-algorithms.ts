/**
 * The lists of algorithms of the transport: KexAlgorithms, Ciphers, MACs, HostKeyAlgorithms, with + - ^
 * as in sshd_config(5). A name that sshd knows and we do not implement is left out and told once, since
 * files of hardened hosts name some; any other name is refused. Pure. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import {
  type AlgorithmRow,
  cipherAlgorithms,
  defaultNames,
  hostKeyAlgorithms,
  kexAlgorithms,
  macAlgorithms,
} from '../ssh/wire/algorithms.ts';
import { algorithmList } from './algorithm-list.ts';
import { single } from './values.ts';
import type { Words } from './words.ts';

export interface AlgorithmList {
  /** What is in effect, in order of preference. */
  readonly names: readonly string[];
  /** Named, known to sshd, not implemented here. */
  readonly leftOut: readonly string[];
}

export interface AlgorithmKind {
  readonly keyword: string;
  readonly rows: readonly AlgorithmRow[];
  /** All that sshd knows, in the order in which it expands wildcards. */
  readonly known: readonly string[];
  /** Wildcards in a plain, `+` or `^` list too; sshd has them for keys only. */
  readonly hasWildcards: boolean;
  /** sshd's words for a name that is not known. */
  readonly complaint: string;
}

function everyTag(names: readonly string[]): readonly string[] {
  return [
    ...names.map((name) => `${name}@openssh.com`),
    ...names.map((name) => `${name}-etm@openssh.com`),
  ];
}

export const kexKind: AlgorithmKind = {
  keyword: 'KexAlgorithms',
  rows: kexAlgorithms,
  known: [
    ...kexAlgorithms.map(({ name }) => name),
    'diffie-hellman-group1-sha1',
    'diffie-hellman-group14-sha1',
    'diffie-hellman-group-exchange-sha1',
    'diffie-hellman-group-exchange-sha256',
    'sntrup761x25519-sha512',
    'sntrup761x25519-sha512@openssh.com',
  ],
  hasWildcards: false,
  complaint: 'Bad SSH2 KexAlgorithms',
};

export const cipherKind: AlgorithmKind = {
  keyword: 'Ciphers',
  rows: cipherAlgorithms,
  known: [
    ...cipherAlgorithms.map(({ name }) => name),
    '3des-cbc',
    'aes128-cbc',
    'aes192-cbc',
    'aes256-cbc',
    'rijndael-cbc@lysator.liu.se',
  ],
  hasWildcards: false,
  complaint: 'Bad SSH2 cipher spec',
};

const oldHashes = ['hmac-sha1', 'hmac-sha1-96', 'hmac-md5', 'hmac-md5-96'];

export const macKind: AlgorithmKind = {
  keyword: 'MACs',
  rows: macAlgorithms,
  known: [
    ...macAlgorithms.map(({ name }) => name),
    ...everyTag(['umac-64', 'umac-128']),
    ...oldHashes,
    ...oldHashes.map((name) => `${name}-etm@openssh.com`),
  ],
  hasWildcards: false,
  complaint: 'Bad SSH2 mac spec',
};

function withCertificate(name: string): readonly string[] {
  return [name, `${name.replace(/@openssh\.com$/, '')}-cert-v01@openssh.com`];
}

export const hostKeyKind: AlgorithmKind = {
  keyword: 'HostKeyAlgorithms',
  rows: hostKeyAlgorithms,
  known: [
    ...[
      'ssh-ed25519',
      'sk-ssh-ed25519@openssh.com',
      'ecdsa-sha2-nistp256',
      'ecdsa-sha2-nistp384',
      'ecdsa-sha2-nistp521',
      'sk-ecdsa-sha2-nistp256@openssh.com',
    ].flatMap(withCertificate),
    'webauthn-sk-ecdsa-sha2-nistp256@openssh.com',
    ...['ssh-dss', 'ssh-rsa', 'rsa-sha2-256', 'rsa-sha2-512'].flatMap(withCertificate),
  ],
  hasWildcards: true,
  complaint: 'Bad key types',
};

export const algorithmKinds = {
  kexAlgorithms: kexKind,
  ciphers: cipherKind,
  macs: macKind,
  hostKeyAlgorithms: hostKeyKind,
} as const;

export function defaultList(kind: AlgorithmKind): AlgorithmList {
  return { names: defaultNames(kind.rows), leftOut: [] };
}

/** The value of a keyword. Throws ConfigError. */
export function transportAlgorithms(kind: AlgorithmKind): (words: Words) => AlgorithmList {
  const { known, complaint } = kind;
  const implemented = new Set(kind.rows.map(({ name }) => name));
  const defaults = defaultNames(kind.rows);
  return (words) => {
    const spec = single(words);
    const isTakingAway = spec.startsWith('-');
    const items = spec
      .replace(/^[+^-]/, '')
      .split(',')
      .filter((item) => item !== '');
    const isPlain = kind.hasWildcards || !items.some((item) => /[*?!]/.test(item));
    if (!isTakingAway && (items.length === 0 || !isPlain)) {
      throw new ConfigError(`${complaint} '${spec}'.`);
    }
    const named = algorithmList(spec, { known, defaults, complaint });
    const names = named.filter((name) => implemented.has(name));
    if (names.length === 0) {
      throw new ConfigError(`'${spec}' leaves no algorithm that is implemented`);
    }
    const leftOut = isTakingAway
      ? []
      : items.filter((item) => known.includes(item) && !implemented.has(item));
    return { names, leftOut: [...new Set(leftOut)] };
  };
}

/** One line for the log about what was named in vain. */
export function leftOutNotice(kind: AlgorithmKind, list: AlgorithmList): readonly string[] {
  return list.leftOut.length === 0
    ? []
    : [`${kind.keyword}: not implemented and left out: ${list.leftOut.join(', ')}`];
}
