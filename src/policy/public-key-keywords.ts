/**
 * The keywords of sshd_config(5) about keys and certificates of users, one row each. Pure.
 * Runs in: monitor, launcher.
 */
import { certificateAlgorithms } from '../../keys/algorithms.ts';
import type { FingerprintHash } from '../../keys/public-key.ts';
import { ConfigError } from '../base/errors.ts';
import { algorithmList, type AlgorithmNames } from './algorithm-list.ts';
import { authorityNames, complaint, knownPlain, plainDefaults } from './key-algorithm-names.ts';
import type { PubkeyAuthOptions, ServerConfig } from './config.ts';
import { type KeywordDeclaration, type KeywordRow, keyword } from './keyword.ts';
import { absolutePath, integer, oneOf, several, single } from './values.ts';
import type { Words } from './words.ts';

export type PublicKeyDraft = Pick<
  ServerConfig,
  | 'fingerprintHash'
  | 'requiredRsaSize'
  | 'pubkeyAcceptedAlgorithms'
  | 'caSignatureAlgorithms'
  | 'pubkeyAuthOptions'
> & {
  /** `none` where sshd says so. */
  readonly trustedUserCaKeys: string;
  readonly revokedKeys: string;
};

function row<K extends keyof PublicKeyDraft>(
  declaration: KeywordDeclaration<PublicKeyDraft, ServerConfig, K>,
): KeywordRow<PublicKeyDraft, ServerConfig> {
  return keyword(declaration);
}

function certificateOf(name: string): readonly string[] {
  return certificateAlgorithms
    .filter((each) => each.signature.name === name)
    .map((each) => each.name);
}

const neverVerified: Readonly<Record<string, readonly string[]>> = {
  'ssh-dss': ['ssh-dss-cert-v01@openssh.com'],
  'ssh-rsa': ['ssh-rsa-cert-v01@openssh.com'],
};

export const userKeyNames: AlgorithmNames = {
  known: knownPlain.flatMap((name) => [
    name,
    ...certificateOf(name),
    ...(neverVerified[name] ?? []),
  ]),
  defaults: [...plainDefaults.flatMap(certificateOf), ...plainDefaults],
  complaint,
};

const leastRsaBits = 1024;

function neverAccepted(names: readonly string[]): string | undefined {
  const never = Object.entries(neverVerified).flat(2);
  const listed = names.filter((name) => never.includes(name));
  return listed.length === 0 ? undefined : `never accepted: ${listed.join(', ')}`;
}

function authOptions(words: Words): PubkeyAuthOptions {
  const options = { touchRequired: false, verifyRequired: false };
  for (const word of several(words)) {
    switch (word.toLowerCase()) {
      case 'none':
        break;
      case 'touch-required':
        options.touchRequired = true;
        break;
      case 'verify-required':
        options.verifyRequired = true;
        break;
      default:
        throw new ConfigError(`unsupported option "${word}"`);
    }
  }
  return options;
}

function authOptionsText({ touchRequired, verifyRequired }: PubkeyAuthOptions): string {
  const names = [
    ...(touchRequired ? ['touch-required'] : []),
    ...(verifyRequired ? ['verify-required'] : []),
  ];
  return names.length === 0 ? 'none' : names.join(' ');
}

export const requiredRsaSize = row({
  name: 'RequiredRSASize',
  argument: 'bits',
  summary: 'RSA keys of users that are shorter are refused; below 1024 always.',
  defaultText: '1024',
  field: 'requiredRsaSize',
  parse: integer(0),
  stricter: (bits) =>
    bits < leastRsaBits ? `below ${leastRsaBits} bits always refused` : undefined,
  dump: (config) => String(config.requiredRsaSize),
});

export const trustedUserCaKeys = row({
  name: 'TrustedUserCAKeys',
  argument: 'file | none',
  summary:
    'Keys of authorities, one a line, whose certificates log a user in who is named in them. Read at every attempt.',
  defaultText: 'none',
  field: 'trustedUserCaKeys',
  parse: (words, place) => absolutePath(single(words), place),
  dump: (config) => config.trustedUserCaKeys ?? 'none',
});

export const revokedKeys = row({
  name: 'RevokedKeys',
  argument: 'file | none',
  summary:
    'Keys and authorities that are refused: one public key a line, or a revocation list of ssh-keygen -k. While it cannot be read every key is refused. Read at every attempt.',
  defaultText: 'none',
  field: 'revokedKeys',
  parse: (words, place) => absolutePath(single(words), place),
  dump: (config) => config.revokedKeys ?? 'none',
});

export const caSignatureAlgorithms = row({
  name: 'CASignatureAlgorithms',
  argument: '[+|-|^]algorithm,...',
  summary: 'What an authority may sign certificates with.',
  defaultText: plainDefaults.join(','),
  field: 'caSignatureAlgorithms',
  parse: (words) => algorithmList(single(words), authorityNames),
  stricter: neverAccepted,
  dump: (config) => config.caSignatureAlgorithms.join(','),
});

export const pubkeyAcceptedAlgorithms = row({
  name: 'PubkeyAcceptedAlgorithms',
  aliases: ['PubkeyAcceptedKeyTypes'],
  argument: '[+|-|^]algorithm,...',
  summary:
    'What users may sign with; ssh-dss and ssh-rsa can be named, and are refused all the same.',
  defaultText: userKeyNames.defaults.join(','),
  field: 'pubkeyAcceptedAlgorithms',
  parse: (words) => algorithmList(single(words), userKeyNames),
  stricter: neverAccepted,
  dump: (config) => config.pubkeyAcceptedAlgorithms.join(','),
});

export const pubkeyAuthOptions = row({
  name: 'PubkeyAuthOptions',
  argument: 'none | touch-required verify-required',
  summary:
    'What FIDO keys have to show whatever their line says: touch-required, that somebody was there; verify-required, that it was their owner.',
  defaultText: 'none',
  field: 'pubkeyAuthOptions',
  parse: authOptions,
  dump: (config) => authOptionsText(config.pubkeyAuthOptions),
});

export const fingerprintHash = row({
  name: 'FingerprintHash',
  argument: 'md5 | sha1 | sha256 | sha384 | sha512',
  summary: 'How the log and AuthorizedKeysCommand name keys. Of several lines the last counts.',
  defaultText: 'SHA256',
  field: 'fingerprintHash',
  parse: oneOf<FingerprintHash>({
    md5: 'MD5',
    sha1: 'SHA1',
    sha256: 'SHA256',
    sha384: 'SHA384',
    sha512: 'SHA512',
  }),
  // As sshd, which has the last one here.
  add: (_before, next) => next,
  counts: 'last',
  dump: (config) => config.fingerprintHash,
});

export const publicKeyDefaults: PublicKeyDraft = {
  fingerprintHash: 'SHA256',
  requiredRsaSize: 1024,
  trustedUserCaKeys: 'none',
  revokedKeys: 'none',
  caSignatureAlgorithms: authorityNames.defaults,
  pubkeyAcceptedAlgorithms: userKeyNames.defaults,
  pubkeyAuthOptions: { touchRequired: false, verifyRequired: false },
};
