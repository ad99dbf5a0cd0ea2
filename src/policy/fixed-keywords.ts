/**
 * Keywords of sshd_config(5) that can only be said to be as they are: what they would turn on or
 * narrow is not here, and a file that leaves it off is a good file. Any other value stops the start:
 * to ignore a restriction would be a hole. Runs in: monitor, launcher.
 */
import {
  gssapiAuthenticationRow,
  gssapiCleanupCredentialsRow,
  gssapiDelegateCredentialsRow,
  gssapiStrictAcceptorCheckRow,
} from './gssapi-keywords.ts';
import { fixed, inert } from './inert-row.ts';
import { userKeyNames } from './public-key-keywords.ts';
import { algorithmList } from './algorithm-list.ts';
import { ConfigError } from '../base/errors.ts';
import type { ServerRow } from './server-row.ts';
import { absolutePath, single } from './values.ts';
import type { Words } from './words.ts';

const hosts = 'Authentication by host is not offered.';
const kerberos = 'Passwords are PAM’s affair, of Kerberos too.';
const gssapi = 'Keys are exchanged without Kerberos.';

/** Debian's names; each goes on with a mechanism, or with nothing. */
const gssapiExchanges = [
  'gss-group14-sha256-',
  'gss-group16-sha512-',
  'gss-nistp256-sha256-',
  'gss-curve25519-sha256-',
  'gss-group14-sha1-',
  'gss-gex-sha1-',
  'gss-group1-sha1-',
];

function gssapiExchangeList(words: Words): string {
  const text = single(words);
  const names = text.split(',').filter((name) => name !== '');
  const isKnown = (name: string) => gssapiExchanges.some((known) => name.startsWith(known));
  if (names.length === 0 || !names.every(isKnown)) {
    throw new ConfigError(`Bad GSSAPI KexAlgorithms '${text}'.`);
  }
  return text;
}

/** In the order in which sshd prints them, behind PermitRootLogin. */
export const hostbasedRows: readonly ServerRow[] = [
  fixed('IgnoreRhosts', ['yes'], hosts),
  fixed('IgnoreUserKnownHosts', ['no', 'yes'], hosts),
  fixed('HostbasedAuthentication', ['no'], hosts),
  fixed('HostbasedUsesNameFromPacketOnly', ['no'], hosts),
];

/** Behind PubkeyAuthentication. */
export const kerberosRows: readonly ServerRow[] = [
  fixed('KerberosAuthentication', ['no'], kerberos),
  fixed('KerberosOrLocalPasswd', ['yes', 'no'], kerberos),
  fixed('KerberosTicketCleanup', ['yes', 'no'], kerberos),
  fixed('KerberosGetAFSToken', ['no'], kerberos, false),
  gssapiAuthenticationRow,
  gssapiCleanupCredentialsRow,
  fixed('GSSAPIKeyExchange', ['no'], gssapi),
  gssapiStrictAcceptorCheckRow,
  fixed('GSSAPIStoreCredentialsOnRekey', ['no'], gssapi),
  gssapiDelegateCredentialsRow,
];

/** Lists and files of what is not offered: checked, since crypto policies of whole systems name them. */
export const gssapiKexAlgorithmsRow = inert({
  name: 'GSSAPIKexAlgorithms',
  argument: 'name,...',
  summary: `Checked only: ${gssapi}`,
  usual: gssapiExchanges.slice(0, -1).join(','),
  parse: gssapiExchangeList,
});

export const hostbasedAcceptedAlgorithmsRow = inert({
  name: 'HostbasedAcceptedAlgorithms',
  aliases: ['HostbasedAcceptedKeyTypes'],
  argument: '[+|-|^]algorithm,...',
  summary: `Checked only: ${hosts}`,
  usual: userKeyNames.defaults.join(','),
  parse: (words) => algorithmList(single(words), userKeyNames).join(','),
});

export const moduliFileRow = inert({
  name: 'ModuliFile',
  argument: 'file | none',
  summary: 'Not read: no key exchange takes its group from a file.',
  usual: '/etc/ssh/moduli',
  parse: (words, place) => absolutePath(single(words), place),
});

export const permitTunnelRow = fixed('PermitTunnel', ['no'], 'Tunnel devices are not given.');

export const securityKeyProviderRow = fixed(
  'SecurityKeyProvider',
  ['internal'],
  'Keys of FIDO devices are verified without one.',
);

/** Behind MaxStartups. */
export const sourceRows: readonly ServerRow[] = [
  fixed('RDomain', ['none'], 'The routing domain stays what it is.', false),
  fixed(
    'LogVerbose',
    ['none'],
    "What it names are files, functions and lines of OpenSSH's source, which are not here; LogLevel says more, in a Match block too.",
    false,
  ),
  fixed('DebianBanner', ['yes', 'no'], 'The identification names no distribution.', false),
];
