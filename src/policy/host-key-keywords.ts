/**
 * The keywords of sshd_config(5) about host keys, as rows for server-keywords.ts. Pure.
 * Runs in: monitor, launcher.
 */
import { isPkcs11Uri, parsePkcs11Uri } from '../../keys/pkcs11-uri.ts';
import { ConfigError } from '../base/errors.ts';
import type { ServerDraft } from './server-draft.ts';
import { concatAll, concatBounded, row } from './server-row.ts';
import { absolutePath, type Place, single } from './values.ts';
import type { Words } from './words.ts';

const maxFiles = 256;

/** A file, or the URI of a key in a token, which is looked at already here. Throws ConfigError. */
export function hostKeyPlace(word: string, place: Place): string {
  if (!isPkcs11Uri(word)) {
    return absolutePath(word, place);
  }
  if (parsePkcs11Uri(word).modulePath === undefined) {
    throw new ConfigError('the pkcs11: URI has no module-path');
  }
  return word;
}

function agentSocket(words: Words, place: Place): string {
  const word = single(words);
  return word === 'SSH_AUTH_SOCK' ? word : absolutePath(word, place);
}

export const hostKeyRow = row({
  name: 'HostKey',
  aliases: ['HostDSAKey'],
  argument: 'file | pkcs11:token=...;object=...;id=...?module-path=...&pin-source=file:...',
  summary:
    'A private host key, or where in a token one is (RFC 7512); its module runs in a process of its own.',
  defaultText: '/etc/ssh/ssh_host_rsa_key, _ecdsa_key, _ed25519_key',
  field: 'hostKeyFiles',
  parse: (words, place) => [hostKeyPlace(single(words), place)],
  add: concatBounded(maxFiles),
  addAll: concatAll,
  dump: (config) => config.hostKeyFiles,
});

export const hostCertificateRow = row({
  name: 'HostCertificate',
  argument: 'file',
  summary: 'A certificate for one of the host keys.',
  defaultText: 'none',
  field: 'hostCertificateFiles',
  parse: (words, place) => [absolutePath(single(words), place)],
  add: concatBounded(maxFiles),
  addAll: concatAll,
  dump: (config) => config.hostCertificateFiles,
});

export const hostKeyAgentRow = row({
  name: 'HostKeyAgent',
  argument: 'socket | SSH_AUTH_SOCK | none',
  summary:
    'An agent that holds host keys of which HostKey names only the public half; SSH_AUTH_SOCK takes the path from the environment.',
  defaultText: 'none',
  field: 'hostKeyAgent',
  parse: agentSocket,
  dump: (config) => config.hostKeyAgent,
});

export const hostKeyDefaults = {
  hostKeyFiles: [
    '/etc/ssh/ssh_host_rsa_key',
    '/etc/ssh/ssh_host_ecdsa_key',
    '/etc/ssh/ssh_host_ed25519_key',
  ],
  hostCertificateFiles: [],
  hostKeyAgent: 'none',
} satisfies Partial<ServerDraft>;
