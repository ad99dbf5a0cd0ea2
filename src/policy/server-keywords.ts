/**
 * The keywords of sshd_config(5) that are in effect, one row each, in the order in which `sshd -T`
 * prints them. A keyword of other-keywords.ts moves here with its row. Pure.
 * Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import { isValidAddressList } from '../../keys/pattern.ts';
import {
  type AlgorithmKind,
  transportAlgorithms,
  cipherKind,
  defaultList,
  hostKeyKind,
  kexKind,
  macKind,
} from './transport-algorithms.ts';
import {
  authenticationDefaults,
  authenticationMethodsRow,
  authorizedKeysCommandRows,
  authorizedPrincipalsCommandRows,
  authorizedPrincipalsFileRow,
} from './authentication-keywords.ts';
import type { AddressFamily, ConfiguredLogLevel, RootLogin, ServerConfig } from './config.ts';
import {
  allowStreamLocalForwardingRow,
  allowTcpForwardingRow,
  gatewayPortsRow,
  permitListenRow,
  permitOpenRow,
  permitTunnelRow,
  streamLocalBindMaskRow,
  streamLocalBindUnlinkRow,
} from './forwarding-keywords.ts';
import {
  chrootDirectoryRow,
  hostbasedRows,
  informationRows,
  kerberosRows,
  securityKeyProviderRow,
  sourceRows,
  syslogFacilityRow,
  unusedConnectionTimeoutRow,
  useDnsRow,
} from './fixed-keywords.ts';
import { type KeywordDeclaration, type KeywordRow, keyword } from './keyword.ts';
import type { ServerDraft } from './server-draft.ts';
import {
  caSignatureAlgorithms,
  pubkeyAcceptedAlgorithms,
  pubkeyAuthOptions,
  publicKeyDefaults,
  requiredRsaSize,
  revokedKeys,
  trustedUserCaKeys,
} from './public-key-keywords.ts';
import {
  absolutePath,
  commandLine,
  integer,
  listenSpec,
  oneOf,
  type Place,
  port,
  rekeyLimit,
  seconds,
  several,
  single,
  startups,
  userFile,
  versionAddendum,
  yesNo,
} from './values.ts';
import type { Words } from './words.ts';

function row<K extends keyof ServerDraft>(
  declaration: KeywordDeclaration<ServerDraft, ServerConfig, K>,
): KeywordRow<ServerDraft, ServerConfig> {
  return keyword(declaration);
}

const maxPorts = 256;
const maxListItems = 4096;

function concatBounded<T>(
  most: number,
): (before: readonly T[], next: readonly T[]) => readonly T[] {
  return (before, next) => {
    if (before.length + next.length > most) {
      throw new ConfigError(`more than ${most} of them`);
    }
    return [...before, ...next];
  };
}

function yesOrNo(value: boolean): string {
  return value ? 'yes' : 'no';
}

function flag(
  name: string,
  field: {
    [K in keyof ServerDraft]: ServerDraft[K] extends boolean ? K : never;
  }[keyof ServerDraft],
  defaultValue: 'yes' | 'no',
  summary: string,
  aliases: readonly string[] = [],
): KeywordRow<ServerDraft, ServerConfig> {
  return row({
    name,
    aliases,
    argument: 'yes | no',
    summary,
    defaultText: defaultValue,
    field,
    parse: yesNo,
    dump: (config) => yesOrNo(config[field]),
  });
}

function algorithms(
  kind: AlgorithmKind,
  field: 'kexAlgorithms' | 'ciphers' | 'macs' | 'hostKeyAlgorithms',
  summary: string,
): KeywordRow<ServerDraft, ServerConfig> {
  return row({
    name: kind.keyword,
    argument: '[+-^]name,...',
    summary,
    defaultText: defaultList(kind).names.join(', '),
    field,
    parse: transportAlgorithms(kind),
    dump: (config) => config[field].names.join(','),
  });
}

function agentSocket(words: Words, place: Place): string {
  const word = single(words);
  return word === 'SSH_AUTH_SOCK' ? word : absolutePath(word, place);
}

const logLevelNames: Readonly<Record<string, ConfiguredLogLevel>> = {
  silent: 'QUIET',
  quiet: 'QUIET',
  fatal: 'FATAL',
  error: 'ERROR',
  info: 'INFO',
  verbose: 'VERBOSE',
  debug: 'DEBUG1',
  debug1: 'DEBUG1',
  debug2: 'DEBUG2',
  debug3: 'DEBUG3',
};

/** sshd prints the first of its names for a level. */
const dumpedLevels: Partial<Record<ConfiguredLogLevel, string>> = {
  QUIET: 'SILENT',
  DEBUG1: 'DEBUG',
};

function userPatterns(words: Words): readonly string[] {
  for (const pattern of words.words) {
    const at = pattern.lastIndexOf('@');
    if (pattern === '' || (at >= 0 && !isValidAddressList(pattern.slice(at + 1)))) {
      throw new ConfigError(`invalid ${words.keyword} pattern: "${pattern}"`);
    }
  }
  return several(words);
}

function environmentPatterns(words: Words): readonly string[] {
  for (const pattern of words.words) {
    if (pattern === '' || pattern.includes('=')) {
      throw new ConfigError(`invalid environment name "${pattern}"`);
    }
  }
  return several(words);
}

/** Tokens are checked at the start, not at the first login. */
function keyFiles(words: Words, place: Place): readonly string[] {
  const list = several(words).map((word) => userFile(word, place));
  return list.length === 1 && list[0]?.toLowerCase() === 'none' ? [] : list;
}

function subsystem({ words }: Words): ReadonlyMap<string, string> {
  const [name, ...command] = words;
  if (name === undefined || name === '') {
    throw new ConfigError('missing subsystem name');
  }
  if (command.length === 0 || command[0] === '') {
    throw new ConfigError('missing subsystem command');
  }
  return new Map([[name, command.join(' ')]]);
}

function assignments(words: Words): readonly (readonly [string, string])[] {
  return several(words).map((word) => {
    const at = word.indexOf('=');
    if (at <= 0) {
      throw new ConfigError('Invalid environment.');
    }
    return [word.slice(0, at), word.slice(at + 1)];
  });
}

/** The first value of each name counts. */
function withoutKnown(
  before: ServerDraft['setEnv'],
  next: ServerDraft['setEnv'],
): ServerDraft['setEnv'] {
  const known = new Set(before.map(([name]) => name));
  return concatBounded<readonly [string, string]>(maxListItems)(
    before,
    next.filter(([name]) => !known.has(name)),
  );
}

function serviceName(words: Words): string {
  const name = single(words);
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(name)) {
    throw new ConfigError(`"${name}" is not the name of a PAM service`);
  }
  return name;
}

function environmentRule(words: Words): string {
  return single(words);
}

function listenText({ address, family, port }: ServerConfig['listenAddresses'][number]): string {
  return family === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}

export const serverKeywords: readonly KeywordRow<ServerDraft, ServerConfig>[] = [
  row({
    name: 'Port',
    argument: 'number',
    summary: 'A port to listen on. Does not count where a ListenAddress names its own port.',
    defaultText: '22',
    field: 'ports',
    parse: (words) => [port(words)],
    add: concatBounded(maxPorts),
    dump: (config) => config.ports.map(String),
  }),
  row({
    name: 'AddressFamily',
    argument: 'any | inet | inet6',
    summary: 'Which addresses to listen on.',
    defaultText: 'any',
    field: 'addressFamily',
    parse: oneOf<AddressFamily>({ inet: 'inet', inet6: 'inet6', any: 'any' }),
    dump: (config) => config.addressFamily,
  }),
  row({
    name: 'ListenAddress',
    argument: 'host | address | host:port | [address]:port',
    summary: 'Where to listen; without a port of its own on every Port.',
    defaultText: 'every address',
    field: 'listen',
    parse: (words) => [listenSpec(words)],
    add: concatBounded(maxPorts),
    dump: (config) => config.listenAddresses.map(listenText),
  }),
  flag('UsePAM', 'usePam', 'no', 'PAM decides about passwords, accounts and sessions.'),
  row({
    name: 'PAMServiceName',
    argument: 'name',
    summary: 'The service file in /etc/pam.d. Not printed by `-T` unless it was changed.',
    defaultText: 'sshd',
    field: 'pamServiceName',
    parse: serviceName,
    dump: (config) => (config.pamServiceName === 'sshd' ? [] : config.pamServiceName),
  }),
  row({
    name: 'LoginGraceTime',
    argument: 'time',
    summary: 'A connection that has not authenticated by then is ended; 0 is no limit.',
    defaultText: '120',
    field: 'loginGraceTimeMs',
    parse: (words) => seconds(words) * 1000,
    dump: (config) => String(config.loginGraceTimeMs / 1000),
  }),
  row({
    name: 'X11DisplayOffset',
    argument: 'number',
    summary: 'The first display number that X11 forwarding tries.',
    defaultText: '10',
    field: 'x11DisplayOffset',
    parse: integer(0),
    dump: (config) => String(config.x11DisplayOffset),
  }),
  row({
    name: 'MaxAuthTries',
    argument: 'number',
    summary: 'Failed attempts after which the connection is ended.',
    defaultText: '6',
    field: 'maxAuthTries',
    parse: integer(0),
    dump: (config) => String(config.maxAuthTries),
  }),
  row({
    name: 'MaxSessions',
    argument: 'number',
    summary: 'Open sessions per connection; 0 allows none.',
    defaultText: '10',
    field: 'maxSessions',
    parse: integer(0),
    dump: (config) => String(config.maxSessions),
  }),
  row({
    name: 'ClientAliveInterval',
    argument: 'time',
    summary: 'After so long without a word of the client it is asked for one; 0 never asks.',
    defaultText: '0',
    field: 'clientAliveIntervalMs',
    parse: (words) => seconds(words) * 1000,
    dump: (config) => String(config.clientAliveIntervalMs / 1000),
  }),
  row({
    name: 'ClientAliveCountMax',
    argument: 'number',
    summary: 'So many questions without an answer end the connection; 0: it is never ended.',
    defaultText: '3',
    field: 'clientAliveCountMax',
    parse: integer(0),
    dump: (config) => String(config.clientAliveCountMax),
  }),
  requiredRsaSize,
  streamLocalBindMaskRow,
  unusedConnectionTimeoutRow,
  row({
    name: 'PermitRootLogin',
    argument: 'yes | prohibit-password | forced-commands-only | no',
    summary:
      'How root may log in. prohibit-password: by key only; forced-commands-only: with a key that has command=.',
    defaultText: 'prohibit-password',
    field: 'permitRootLogin',
    parse: oneOf<RootLogin>({
      'without-password': 'prohibit-password',
      'prohibit-password': 'prohibit-password',
      'forced-commands-only': 'forced-commands-only',
      yes: 'yes',
      no: 'no',
    }),
    dump: (config) =>
      config.permitRootLogin === 'prohibit-password' ? 'without-password' : config.permitRootLogin,
  }),
  ...hostbasedRows,
  flag('PubkeyAuthentication', 'pubkeyAuthentication', 'yes', 'Offers the method publickey.', [
    'DSAAuthentication',
  ]),
  ...kerberosRows,
  flag('PasswordAuthentication', 'passwordAuthentication', 'yes', 'Offers the method password.'),
  flag(
    'KbdInteractiveAuthentication',
    'kbdInteractiveAuthentication',
    'yes',
    'Offers the method keyboard-interactive (with UsePAM).',
    ['ChallengeResponseAuthentication', 'SkeyAuthentication'],
  ),
  flag(
    'X11Forwarding',
    'x11Forwarding',
    'no',
    'Programs of a session may show their windows on the X server of the client.',
  ),
  flag(
    'X11UseLocalhost',
    'x11UseLocalhost',
    'yes',
    'Forwarded displays listen on the loopback address only.',
  ),
  flag('PermitTTY', 'permitTty', 'yes', 'Terminals are given; `no` also refuses desktops.'),
  flag('PermitUserRC', 'permitUserRc', 'yes', '~/.ssh/rc runs in front of a shell or command.'),
  flag(
    'StrictModes',
    'strictModes',
    'yes',
    'Key files count only when nobody but their owner and root can write them or a directory above.',
  ),
  flag(
    'TCPKeepAlive',
    'tcpKeepAlive',
    'yes',
    'TCP itself looks whether the client is still there.',
    ['KeepAlive'],
  ),
  flag(
    'PermitEmptyPasswords',
    'permitEmptyPasswords',
    'no',
    'An account whose password is empty can be logged in to, by `none` too.',
  ),
  row({
    name: 'Compression',
    argument: 'yes | delayed | no',
    summary: 'zlib@openssh.com is offered; it begins after authentication, never before.',
    defaultText: 'yes',
    field: 'compression',
    parse: oneOf<boolean>({ yes: true, delayed: true, no: false }),
    dump: (config) => yesOrNo(config.compression),
  }),
  gatewayPortsRow,
  useDnsRow,
  allowTcpForwardingRow,
  flag(
    'AllowAgentForwarding',
    'allowAgentForwarding',
    'yes',
    'The agent of the client may be used in sessions.',
  ),
  flag(
    'DisableForwarding',
    'disableForwarding',
    'no',
    'Forwarding of every kind is off, whatever else says yes.',
  ),
  allowStreamLocalForwardingRow,
  streamLocalBindUnlinkRow,
  ...informationRows,
  row({
    name: 'PidFile',
    argument: 'file | none',
    summary: 'Where the process id of the daemon is written.',
    defaultText: '/run/sshd.pid',
    field: 'pidFile',
    parse: (words, place) => absolutePath(single(words), place),
    dump: (config) => config.pidFile ?? 'none',
  }),
  row({
    name: 'XAuthLocation',
    argument: 'file | none',
    summary: 'The xauth program; without it there is no X11 forwarding.',
    defaultText: '/usr/bin/xauth',
    field: 'xauthLocation',
    parse: (words, place) => absolutePath(single(words), place),
    dump: (config) => config.xauthLocation ?? 'none',
  }),
  algorithms(cipherKind, 'ciphers', 'Ciphers, the preferred one first.'),
  algorithms(macKind, 'macs', 'MACs for the ciphers that need one.'),
  row({
    name: 'Banner',
    argument: 'file | none',
    summary: 'Its text is shown before authentication; at most 64 KiB.',
    defaultText: 'none',
    field: 'banner',
    parse: (words, place) => absolutePath(single(words), place),
    dump: (config) => config.banner ?? 'none',
  }),
  row({
    name: 'ForceCommand',
    argument: 'command | none',
    summary:
      'Runs for every shell, command and subsystem instead of what was asked; beats command= of a key.',
    defaultText: 'none',
    field: 'forceCommand',
    parse: commandLine,
    dump: (config) => config.forceCommand ?? 'none',
  }),
  chrootDirectoryRow,
  trustedUserCaKeys,
  revokedKeys,
  securityKeyProviderRow,
  authorizedPrincipalsFileRow,
  row({
    name: 'VersionAddendum',
    argument: 'text | none',
    summary: 'Stands behind the identification that the server sends.',
    defaultText: 'none',
    field: 'versionAddendum',
    parse: versionAddendum,
    dump: (config) => (config.versionAddendum === '' ? 'none' : config.versionAddendum),
  }),
  ...authorizedKeysCommandRows,
  ...authorizedPrincipalsCommandRows,
  row({
    name: 'HostKeyAgent',
    argument: 'socket | SSH_AUTH_SOCK | none',
    summary:
      'An agent that holds host keys of which HostKey names only the public half; SSH_AUTH_SOCK takes the path from the environment.',
    defaultText: 'none',
    field: 'hostKeyAgent',
    parse: agentSocket,
    dump: (config) => config.hostKeyAgent,
  }),
  algorithms(kexKind, 'kexAlgorithms', 'Key exchange methods.'),
  caSignatureAlgorithms,
  algorithms(
    hostKeyKind,
    'hostKeyAlgorithms',
    'Signature algorithms of host keys and of host certificates.',
  ),
  pubkeyAcceptedAlgorithms,
  row({
    name: 'LogLevel',
    argument: 'QUIET | FATAL | ERROR | INFO | VERBOSE | DEBUG | DEBUG1 | DEBUG2 | DEBUG3',
    summary: 'How much is logged.',
    defaultText: 'INFO',
    field: 'logLevel',
    parse: oneOf<ConfiguredLogLevel>(logLevelNames),
    dump: (config) => dumpedLevels[config.logLevel] ?? config.logLevel,
  }),
  syslogFacilityRow,
  row({
    name: 'AuthorizedKeysFile',
    argument: 'file ... | none',
    summary:
      "Files with the user's keys; %h is the home, %u the name, %U the number of the user; relative ones are in the home.",
    defaultText: '.ssh/authorized_keys .ssh/authorized_keys2',
    field: 'authorizedKeysFiles',
    parse: keyFiles,
    dump: (config) =>
      config.authorizedKeysFiles.length === 0 ? 'none' : config.authorizedKeysFiles.join(' '),
  }),
  row({
    name: 'HostKey',
    aliases: ['HostDSAKey'],
    argument: 'file',
    summary: 'A private host key.',
    defaultText: '/etc/ssh/ssh_host_rsa_key, _ecdsa_key, _ed25519_key',
    field: 'hostKeyFiles',
    parse: (words, place) => [absolutePath(single(words), place)],
    add: concatBounded(maxPorts),
    dump: (config) => config.hostKeyFiles,
  }),
  row({
    name: 'HostCertificate',
    argument: 'file',
    summary: 'A certificate for one of the host keys.',
    defaultText: 'none',
    field: 'hostCertificateFiles',
    parse: (words, place) => [absolutePath(single(words), place)],
    add: concatBounded(maxPorts),
    dump: (config) => config.hostCertificateFiles,
  }),
  row({
    name: 'AllowUsers',
    argument: 'pattern ...',
    summary: 'Only users that match may log in; `user@host` also looks at the address.',
    defaultText: 'everybody',
    field: 'allowUsers',
    parse: userPatterns,
    add: concatBounded(maxListItems),
    dump: (config) => config.allowUsers,
  }),
  row({
    name: 'DenyUsers',
    argument: 'pattern ...',
    summary: 'Users that match may not log in, whatever AllowUsers says.',
    defaultText: 'nobody',
    field: 'denyUsers',
    parse: userPatterns,
    add: concatBounded(maxListItems),
    dump: (config) => config.denyUsers,
  }),
  row({
    name: 'AllowGroups',
    argument: 'pattern ...',
    summary: 'Only members of a group that matches may log in, the primary one or another.',
    defaultText: 'everybody',
    field: 'allowGroups',
    parse: several,
    add: concatBounded(maxListItems),
    dump: (config) => config.allowGroups,
  }),
  row({
    name: 'DenyGroups',
    argument: 'pattern ...',
    summary: 'Members of a group that matches may not log in, whatever AllowGroups says.',
    defaultText: 'nobody',
    field: 'denyGroups',
    parse: several,
    add: concatBounded(maxListItems),
    dump: (config) => config.denyGroups,
  }),
  row({
    name: 'AcceptEnv',
    argument: 'pattern ...',
    summary:
      'Environment variables taken from the client; never those of the dynamic linker, of interpreters and of the account.',
    defaultText: 'none',
    field: 'acceptEnv',
    parse: environmentPatterns,
    add: concatBounded(maxListItems),
    dump: (config) => config.acceptEnv,
  }),
  row({
    name: 'SetEnv',
    argument: 'NAME=value ...',
    summary: 'Variables of every session; the first value of a name counts.',
    defaultText: 'none',
    field: 'setEnv',
    parse: assignments,
    add: withoutKnown,
    dump: (config) => config.setEnv.map(([name, value]) => `${name}=${value}`),
  }),
  authenticationMethodsRow,
  row({
    name: 'Subsystem',
    argument: 'name command ...',
    summary: 'A subsystem and what it runs. `rfb` and `display` are built in.',
    defaultText: 'none',
    field: 'subsystems',
    parse: subsystem,
    // Of one name the first counts (sshd from 9.5 on), wherever a later one stands.
    add: (before, next) => new Map([...before, ...[...next].filter(([name]) => !before.has(name))]),
    dump: (config) => [...config.subsystems].map(([name, command]) => `${name} ${command}`),
  }),
  row({
    name: 'MaxStartups',
    argument: 'start:rate:full | full',
    summary:
      'Unauthenticated connections: from start on rate % are dropped, rising to all of them at full.',
    defaultText: '10:30:100',
    field: 'maxStartups',
    parse: startups,
    dump: ({ maxStartups }) =>
      `${maxStartups.start}:${maxStartups.ratePercent}:${maxStartups.full}`,
  }),
  ...sourceRows,
  permitTunnelRow,
  row({
    name: 'RekeyLimit',
    argument: 'size | default, then perhaps time | none',
    summary: 'New keys after so many bytes in either direction, and after so much time.',
    defaultText: 'default none',
    field: 'rekeyLimit',
    parse: rekeyLimit,
    dump: ({ rekeyLimit: limit }) => `${limit.bytes} ${limit.ms / 1000}`,
  }),
  permitOpenRow,
  permitListenRow,
  row({
    name: 'PermitUserEnvironment',
    argument: 'yes | no | pattern-list',
    summary: 'Whether ~/.ssh/environment and environment= of keys count, and for which names.',
    defaultText: 'no',
    field: 'permitUserEnvironment',
    parse: environmentRule,
    dump: (config) => config.permitUserEnvironment,
  }),
  pubkeyAuthOptions,
];

export const defaultHostKeyFiles: readonly string[] = [
  '/etc/ssh/ssh_host_rsa_key',
  '/etc/ssh/ssh_host_ecdsa_key',
  '/etc/ssh/ssh_host_ed25519_key',
];

export const serverDefaults: ServerDraft = {
  ports: [22],
  addressFamily: 'any',
  listen: [],
  hostKeyFiles: defaultHostKeyFiles,
  hostCertificateFiles: [],
  hostKeyAgent: 'none',
  kexAlgorithms: defaultList(kexKind),
  ciphers: defaultList(cipherKind),
  macs: defaultList(macKind),
  hostKeyAlgorithms: defaultList(hostKeyKind),
  compression: true,
  rekeyLimit: { bytes: 0, ms: 0 },
  versionAddendum: '',
  usePam: false,
  pamServiceName: 'sshd',
  loginGraceTimeMs: 120_000,
  maxAuthTries: 6,
  maxSessions: 10,
  maxStartups: { start: 10, ratePercent: 30, full: 100 },
  permitRootLogin: 'prohibit-password',
  pubkeyAuthentication: true,
  passwordAuthentication: true,
  kbdInteractiveAuthentication: true,
  permitEmptyPasswords: false,
  allowUsers: [],
  denyUsers: [],
  allowGroups: [],
  denyGroups: [],
  strictModes: true,
  authorizedKeysFiles: ['.ssh/authorized_keys', '.ssh/authorized_keys2'],
  ...publicKeyDefaults,
  ...authenticationDefaults,
  permitTty: true,
  permitUserRc: true,
  x11Forwarding: false,
  x11DisplayOffset: 10,
  x11UseLocalhost: true,
  xauthLocation: '/usr/bin/xauth',
  allowAgentForwarding: true,
  disableForwarding: false,
  clientAliveIntervalMs: 0,
  clientAliveCountMax: 3,
  tcpKeepAlive: true,
  banner: 'none',
  forceCommand: 'none',
  acceptEnv: [],
  setEnv: [],
  permitUserEnvironment: 'no',
  allowTcpForwarding: 'yes',
  permitOpen: 'any',
  permitListen: 'any',
  gatewayPorts: 'no',
  allowStreamLocalForwarding: 'yes',
  streamLocalBindMask: 0o177,
  streamLocalBindUnlink: false,
  permitTunnel: 'no',
  subsystems: new Map(),
  logLevel: 'INFO',
  pidFile: '/run/sshd.pid',
};
