/**
 * Keywords of sshd_config(5) that can only be said to be as they are: what they would turn on or
 * narrow is not here, and a file that leaves it off is a good file. Any other value stops the start:
 * to ignore a restriction would be a hole. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import type { ServerConfig } from './config.ts';
import type { KeywordRow } from './keyword.ts';
import type { ServerDraft } from './server-draft.ts';
import { several } from './values.ts';

/** `values`: without case; the first is what sshd has without a line, and prints. */
function fixed(
  name: string,
  values: readonly string[],
  summary: string,
  isPrinted = true,
): KeywordRow<ServerDraft, ServerConfig> {
  const [usual = ''] = values;
  return {
    name,
    aliases: [],
    argument: values.join(' | '),
    summary,
    defaultText: usual,
    isRepeatable: false,
    accept(_draft, words) {
      const said = several(words).join(' ').toLowerCase();
      if (!values.some((value) => value.toLowerCase() === said)) {
        throw new ConfigError(
          `"${said}" is not supported yet (${values.map((value) => `"${value}"`).join(', ')} is)`,
        );
      }
    },
    merge() {},
    dump: () => (isPrinted ? [`${name.toLowerCase()} ${usual}`] : []),
  };
}

const hosts = 'Authentication by host is not offered.';
const kerberos = 'Passwords are PAM’s affair, of Kerberos too.';
const gssapi = 'GSSAPI is not offered yet.';

export const unusedConnectionTimeoutRow = fixed(
  'UnusedConnectionTimeout',
  ['none', '0'],
  'Connections without a channel stay.',
);

/** In the order in which sshd prints them, behind PermitRootLogin. */
export const hostbasedRows: readonly KeywordRow<ServerDraft, ServerConfig>[] = [
  fixed('IgnoreRhosts', ['yes'], hosts),
  fixed('IgnoreUserKnownHosts', ['no', 'yes'], hosts),
  fixed('HostbasedAuthentication', ['no'], hosts),
  fixed('HostbasedUsesNameFromPacketOnly', ['no'], hosts),
];

/** Behind PubkeyAuthentication. */
export const kerberosRows: readonly KeywordRow<ServerDraft, ServerConfig>[] = [
  fixed('KerberosAuthentication', ['no'], kerberos),
  fixed('KerberosOrLocalPasswd', ['yes', 'no'], kerberos),
  fixed('KerberosTicketCleanup', ['yes', 'no'], kerberos),
  fixed('KerberosGetAFSToken', ['no'], kerberos, false),
  fixed('GSSAPIAuthentication', ['no'], gssapi),
  fixed('GSSAPICleanupCredentials', ['yes', 'no'], gssapi),
  fixed('GSSAPIKeyExchange', ['no'], gssapi),
  fixed('GSSAPIStrictAcceptorCheck', ['yes', 'no'], gssapi),
  fixed('GSSAPIStoreCredentialsOnRekey', ['no'], gssapi),
];

export const useDnsRow = fixed(
  'UseDNS',
  ['no'],
  'Names of clients are not looked up: they are known by their address.',
);

/** Behind StreamLocalBindUnlink. */
export const informationRows: readonly KeywordRow<ServerDraft, ServerConfig>[] = [
  fixed('FingerprintHash', ['SHA256'], 'Fingerprints in the log.'),
  fixed('ExposeAuthInfo', ['no'], 'Sessions are not told by which methods they logged in.'),
];

export const chrootDirectoryRow = fixed(
  'ChrootDirectory',
  ['none'],
  'Sessions see the whole file system.',
);

export const securityKeyProviderRow = fixed(
  'SecurityKeyProvider',
  ['internal'],
  'Keys of FIDO devices are verified without one.',
);

export const syslogFacilityRow = fixed('SyslogFacility', ['AUTH'], 'Where syslog has the log.');

/** Behind MaxStartups. */
export const sourceRows: readonly KeywordRow<ServerDraft, ServerConfig>[] = [
  fixed('PerSourceMaxStartups', ['none'], 'MaxStartups counts all addresses together.'),
  fixed('PerSourceNetBlockSize', ['32:128'], 'For PerSourceMaxStartups.'),
  fixed('PerSourcePenalties', ['no'], 'Addresses are not made to wait.', false),
  fixed('RefuseConnection', ['no'], 'No Match block refuses connections.', false),
  fixed('ChannelTimeout', ['none'], 'Channels stay open while nothing happens.', false),
  fixed('RDomain', ['none'], 'The routing domain stays what it is.', false),
  fixed('LogVerbose', ['none'], 'LogLevel is for all of the log.', false),
  fixed('DebianBanner', ['yes', 'no'], 'The identification names no distribution.', false),
];

export const fixedKeywords: readonly KeywordRow<ServerDraft, ServerConfig>[] = [
  unusedConnectionTimeoutRow,
  ...hostbasedRows,
  ...kerberosRows,
  useDnsRow,
  ...informationRows,
  chrootDirectoryRow,
  securityKeyProviderRow,
  syslogFacilityRow,
  ...sourceRows,
];
