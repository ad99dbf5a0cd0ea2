/**
 * Lists of algorithms as sshd_config(5) has them: `a,b` names them all, `+a,b` adds to the default,
 * `-a*,b` takes from it, `^a,b` puts in front. A name that sshd knows and we do not implement is left
 * out and told once, since files of hardened hosts name some; any other name is refused. Pure.
 * Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import { matchPatternList } from '../../keys/pattern.ts';
import {
  type AlgorithmRow,
  cipherAlgorithms,
  defaultNames,
  hostKeyAlgorithms,
  kexAlgorithms,
  macAlgorithms,
} from '../ssh/wire/algorithms.ts';
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

/** What one item of a list names, in sshd's order. */
function namedBy(kind: AlgorithmKind, item: string): readonly string[] {
  if (kind.hasWildcards && !item.startsWith('!')) {
    return kind.known.filter((name) => matchPatternList(name, item) === 'match');
  }
  return kind.known.filter((name) => name === item);
}

/** The value of a keyword. Throws ConfigError. */
export function algorithmList(kind: AlgorithmKind): (words: Words) => AlgorithmList {
  const implemented = new Set(kind.rows.map(({ name }) => name));
  const standard = defaultNames(kind.rows);
  return (words) => {
    const spec = single(words);
    const sign = /^[+^-]/.exec(spec)?.[0] ?? '';
    const list = spec.slice(sign.length);
    if (sign === '-') {
      const kept = standard.filter((name) => matchPatternList(name, list) !== 'match');
      return finished(spec, kept, []);
    }
    const items = list.split(',').filter((item) => item !== '');
    const named = items.map((item) => namedBy(kind, item));
    if (items.length === 0 || named.some((names) => names.length === 0)) {
      throw new ConfigError(`${kind.complaint} '${spec}'.`);
    }
    const usable = named.flat().filter((name) => implemented.has(name));
    const leftOut = named
      .filter((names) => names.length === 1)
      .flat()
      .filter((name) => !implemented.has(name));
    const names =
      sign === '+' ? [...standard, ...usable] : sign === '^' ? [...usable, ...standard] : usable;
    return finished(spec, [...new Set(names)], leftOut);
  };
}

/** An empty list would let nobody in; sshd takes it for the default, which nobody asked for. */
function finished(
  spec: string,
  names: readonly string[],
  leftOut: readonly string[],
): AlgorithmList {
  if (names.length === 0) {
    throw new ConfigError(`'${spec}' leaves no algorithm that is implemented`);
  }
  return { names, leftOut: [...new Set(leftOut)] };
}

/** One line for the log about what was named in vain. */
export function leftOutNotice(kind: AlgorithmKind, list: AlgorithmList): readonly string[] {
  return list.leftOut.length === 0
    ? []
    : [`${kind.keyword}: not implemented and left out: ${list.leftOut.join(', ')}`];
}
