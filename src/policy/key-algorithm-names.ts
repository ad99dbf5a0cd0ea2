/**
 * The names of key algorithms as sshd_config(5) and ssh_config(5) have them, in OpenSSH's order. Pure.
 * Runs in: monitor, launcher, user (client).
 */
import { signatureAlgorithms } from '../../keys/algorithms.ts';
import type { AlgorithmNames } from './algorithm-list.ts';

export const complaint = 'Bad key types';

const fido = /^sk-/;
const byDefault = signatureAlgorithms.filter((each) => each.form !== 'webauthn');
export const plainDefaults: readonly string[] = [
  ...byDefault.filter((each) => !fido.test(each.keyType) && each.keyType !== 'ssh-rsa'),
  ...byDefault.filter((each) => fido.test(each.keyType)),
  ...byDefault.filter((each) => each.keyType === 'ssh-rsa'),
].map((each) => each.name);

/**
 * The order in which OpenSSH knows them. ssh-dss and ssh-rsa may be named, as old files do; no such
 * signature is ever accepted.
 */
export const knownPlain: readonly string[] = [
  'ssh-ed25519',
  'sk-ssh-ed25519@openssh.com',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'sk-ecdsa-sha2-nistp256@openssh.com',
  'webauthn-sk-ecdsa-sha2-nistp256@openssh.com',
  'ssh-dss',
  'ssh-rsa',
  'rsa-sha2-256',
  'rsa-sha2-512',
];

/** What an authority signs with; ssh_config(5) has the same list. */
export const authorityNames: AlgorithmNames = {
  known: knownPlain,
  defaults: plainDefaults,
  complaint,
};
