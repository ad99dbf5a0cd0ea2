/**
 * Values of every keyword of sshd_config(5), good and wrong, as Debian's sshd judges them: FOLDER is
 * the test's folder with a host key `key`. Runs in: test.
 */

export interface KeywordSamples {
  /** sshd takes them. The first is a good one for a line that is only to be there. */
  readonly good: readonly string[];
  readonly wrong: readonly string[];
  /** OpenSSH 9.2 does not know the keyword. */
  readonly isNewer?: boolean;
  /** And this one not in a block. */
  readonly isNewerInMatch?: boolean;
}

const flag: KeywordSamples = { good: ['yes', 'no', 'YES'], wrong: ['maybe', 'yes no', '"'] };
const fileOrNone: KeywordSamples = {
  good: ['/a/b', 'none', '"/a b"', '~/x'],
  wrong: ['/a /b', '"/a'],
};
const count: KeywordSamples = { good: ['3', '0', '17'], wrong: ['x', '-1', '3 4', '0x10'] };
const time: KeywordSamples = {
  good: ['90', '0', '10m', '1h30m', '1W2d'],
  wrong: ['1x', '-1', 'm', '5 5', '99999999999'],
};
const deprecated: KeywordSamples = { good: ['yes', 'a b c'], wrong: ['"'] };
const userPatterns: KeywordSamples = {
  good: ['alice', 'al* b?b', 'root@10.0.0.0/8 x@*.example.org'],
  wrong: ['a@10.0.0.1/8', '""'],
};
const groupPatterns: KeywordSamples = { good: ['wheel', 'a* b', 'x'], wrong: ['""'] };
const userKeys: KeywordSamples = {
  good: ['ssh-ed25519', '+ssh-rsa', '-ecdsa-*', '^rsa-sha2-512,ssh-ed25519', 'rsa-*'],
  wrong: ['foo', '+foo', 'ssh-ed25519 rsa-sha2-512', 'ssh-ed25519,!rsa*'],
};
const authorityKeys: KeywordSamples = {
  good: ['ssh-ed25519', '+ssh-rsa', '-ecdsa-*', '^rsa-sha2-512'],
  wrong: ['foo', '+foo', 'ssh-ed25519 x'],
};
const command: KeywordSamples = {
  good: ['none', '/bin/x %u "a b"', 'NONE'],
  wrong: ['relative %u', '/bin/x "a'],
};
const userName: KeywordSamples = { good: ['nobody', 'none', '%u'], wrong: ['a b', '"'] };
const directions: KeywordSamples = {
  good: ['local', 'remote', 'all', 'yes', 'no'],
  wrong: ['some', 'yes no'],
};

export const keywordSamples: Readonly<Record<string, KeywordSamples>> = {
  AcceptEnv: { good: ['LANG', 'LC_* X', '"c d" Y?'], wrong: ['A=B', '"'] },
  AddressFamily: { good: ['any', 'inet', 'INET6'], wrong: ['inet5', 'inet inet6'] },
  AFSTokenPassing: deprecated,
  AllowAgentForwarding: flag,
  AllowGroups: groupPatterns,
  AllowStreamLocalForwarding: directions,
  AllowTcpForwarding: directions,
  AllowUsers: userPatterns,
  AuthenticationMethods: {
    good: [
      'any',
      'publickey',
      'publickey,password keyboard-interactive:pam',
      'publickey,publickey',
    ],
    wrong: ['foo', 'any publickey', 'publickey any', '""'],
  },
  AuthorizedKeysCommand: command,
  AuthorizedKeysCommandUser: userName,
  AuthorizedKeysFile: { good: ['a b', 'none', '%h/%%x /etc/keys/%u', '~/k'], wrong: ['"a', '""'] },
  AuthorizedKeysFile2: deprecated,
  AuthorizedPrincipalsCommand: command,
  AuthorizedPrincipalsCommandUser: userName,
  AuthorizedPrincipalsFile: { good: ['/p/%u', 'none', '.ssh/p'], wrong: ['a b', '"a'] },
  Banner: fileOrNone,
  CASignatureAlgorithms: authorityKeys,
  ChallengeResponseAuthentication: flag,
  ChannelTimeout: {
    good: ['none', 'session:*=5m', '*=1h forwarded-tcpip=5'],
    wrong: ['session', 'session:shell=', '=5'],
  },
  CheckMail: deprecated,
  ChrootDirectory: { good: ['none', '/srv/%u', '/srv/%h'], wrong: ['/a /b', '"/a'] },
  Ciphers: {
    good: ['aes128-ctr', 'chacha20-poly1305@openssh.com,aes256-ctr', 'aes128-gcm@openssh.com'],
    wrong: ['foo', 'aes*', '+foo', 'aes128-ctr aes256-ctr', 'AES128-CTR'],
  },
  ClientAliveCountMax: count,
  ClientAliveInterval: time,
  Compression: { good: ['delayed', 'yes', 'no', 'NO'], wrong: ['maybe'] },
  DebianBanner: flag,
  DenyGroups: groupPatterns,
  DenyUsers: userPatterns,
  DisableForwarding: flag,
  DSAAuthentication: flag,
  ExposeAuthInfo: flag,
  FingerprintHash: { good: ['md5', 'SHA256', 'sha1', 'sha512'], wrong: ['crc', 'md5 sha1'] },
  ForceCommand: { good: ['none', 'foo "bar  baz" # x', 'internal-sftp'], wrong: [] },
  GatewayPorts: { good: ['clientspecified', 'yes', 'no'], wrong: ['maybe'] },
  GSSAPIAuthentication: flag,
  GSSAPICleanupCredentials: flag,
  GSSAPICleanupCreds: flag,
  GSSAPIDelegateCredentials: { ...flag, isNewer: true },
  GSSAPIKexAlgorithms: {
    good: ['gss-group14-sha256-', 'gss-gex-sha1-,gss-group1-sha1-', ',gss-nistp256-sha256-'],
    wrong: ['foo', '+gss-gex-sha1-', 'curve25519-sha256', 'gss-gex-sha1- x', '*'],
  },
  GSSAPIKeyExchange: flag,
  GSSAPIStoreCredentialsOnRekey: flag,
  GSSAPIStrictAcceptorCheck: flag,
  GSSAPIUseSessionCredCache: deprecated,
  GSSUseSessionCCache: deprecated,
  HostbasedAcceptedAlgorithms: userKeys,
  HostbasedAcceptedKeyTypes: userKeys,
  HostbasedAuthentication: flag,
  HostbasedUsesNameFromPacketOnly: flag,
  HostCertificate: { good: [], wrong: ['/a /b', '"'] },
  HostDSAKey: { good: ['FOLDER/key'], wrong: ['a b'] },
  HostKey: { good: ['FOLDER/key'], wrong: ['a b', '"'] },
  HostKeyAgent: { good: ['none'], wrong: ['a b'] },
  HostKeyAlgorithms: {
    good: ['ssh-ed25519', 'ssh-ed25519,rsa-sha2-*'],
    wrong: ['foo', '+foo', 'ssh-ed25519,!rsa*'],
  },
  IgnoreRhosts: {
    good: ['yes', 'no', 'shosts-only'],
    wrong: ['maybe'],
  },
  IgnoreUserKnownHosts: flag,
  IPQoS: {
    good: ['ef cs0', 'af21', 'none', 'lowdelay throughput', '0x10'],
    wrong: ['foo', '9999'],
  },
  KbdInteractiveAuthentication: flag,
  KeepAlive: flag,
  KerberosAuthentication: flag,
  KerberosGetAFSToken: flag,
  KerberosOrLocalPasswd: flag,
  KerberosTgtPassing: deprecated,
  KerberosTicketCleanup: flag,
  KexAlgorithms: {
    good: ['curve25519-sha256', 'curve25519-sha256@libssh.org,ecdh-sha2-nistp256'],
    wrong: ['foo', 'curve*', '+', 'curve25519-sha256 x'],
  },
  KeyRegenerationInterval: deprecated,
  ListenAddress: {
    good: ['127.0.0.1', '[::1]:99', '0.0.0.0:5', '::2'],
    wrong: ['0.0.0.0:x', '127.0.0.1 x'],
  },
  LoginGraceTime: time,
  LogLevel: { good: ['DEBUG1', 'quiet', 'VERBOSE', 'debug3'], wrong: ['loud', 'info error'] },
  LogVerbose: {
    good: ['none', 'kex.c:*:1000,*:kex_exchange_identification():*'],
    wrong: ['"'],
  },
  MACs: { good: ['hmac-sha2-512', 'hmac-sha2-256-etm@openssh.com'], wrong: ['foo', 'hmac*'] },
  MaxAuthTries: count,
  MaxSessions: count,
  MaxStartups: { good: ['5', '3:50:9'], wrong: ['3:30:2', '3:30', '0', '10:0:20', 'x'] },
  ModuliFile: fileOrNone,
  PAMAuthenticationViaKbdInt: deprecated,
  PAMServiceName: { good: ['sshd'], wrong: ['../x', 'a b'], isNewer: true },
  PasswordAuthentication: flag,
  PermitBlacklistedKeys: deprecated,
  PermitEmptyPasswords: flag,
  PermitListen: {
    good: ['8080', 'localhost:9 [::1]:* *:7', 'none', 'any'],
    wrong: ['any 8080', 'a:0', 'x'],
  },
  PermitOpen: { good: ['a:1 [::1]:* *:4', 'none', 'any'], wrong: ['a', 'any a:1', 'a:0'] },
  PermitRootLogin: {
    good: ['no', 'yes', 'without-password', 'FORCED-commands-only', 'prohibit-password'],
    wrong: ['maybe', 'yes no'],
  },
  PermitTTY: flag,
  PermitTunnel: {
    good: ['no', 'yes', 'point-to-point', 'ethernet'],
    wrong: ['maybe'],
  },
  PermitUserEnvironment: { good: ['yes', 'no', 'LANG,LC_*'], wrong: ['a b'] },
  PermitUserRC: flag,
  PerSourceMaxStartups: { good: ['none', '3'], wrong: ['x', '-1'] },
  PerSourceNetBlockSize: { good: ['24:64', '0:0', '32:128'], wrong: ['33', 'x', '24:129'] },
  PerSourcePenalties: { good: ['no'], wrong: ['foo:bar'], isNewer: true },
  PerSourcePenaltyExemptList: { good: ['10.0.0.0/8'], wrong: ['10.0.0.1/8'], isNewer: true },
  PidFile: fileOrNone,
  Port: { good: ['24', '2222'], wrong: ['x', '70000', '1 2', '0'] },
  PrintLastLog: flag,
  PrintMotd: flag,
  Protocol: deprecated,
  PubkeyAcceptedAlgorithms: userKeys,
  PubkeyAcceptedKeyTypes: userKeys,
  PubkeyAuthentication: flag,
  PubkeyAuthOptions: {
    good: ['none', 'touch-required', 'verify-required touch-required'],
    wrong: ['foo', 'touch-required foo'],
  },
  RDomain: { good: ['none'], wrong: ['"'], isNewer: true },
  RefuseConnection: { good: ['no'], wrong: ['maybe'], isNewer: true },
  RekeyLimit: {
    good: ['1.5M 90', 'default 1h', '64k none', 'default none', '.5G'],
    wrong: ['15', 'none', '1G never', 'default default', '1G 1h x'],
  },
  RequiredRSASize: count,
  ReverseMappingCheck: deprecated,
  RevokedKeys: fileOrNone,
  RhostsAuthentication: deprecated,
  RhostsRSAAuthentication: deprecated,
  RSAAuthentication: deprecated,
  SecurityKeyProvider: { good: ['internal', '/x'], wrong: ['a b'] },
  ServerKeyBits: deprecated,
  SetEnv: { good: ['A=b', 'A=b "C=d e" F= G=x=y'], wrong: ['A', '=x', '"A=b'] },
  SkeyAuthentication: flag,
  SshdAuthPath: { good: ['/x'], wrong: ['"'], isNewer: true },
  SshdSessionPath: { good: ['/x'], wrong: ['"'], isNewer: true },
  StreamLocalBindMask: { good: ['22', '0', '0177'], wrong: ['8', 'x', '-1'] },
  StreamLocalBindUnlink: flag,
  StrictModes: flag,
  Subsystem: {
    isNewerInMatch: true,
    good: ['sftp /x -a "b c"', 'foo "a b" c'],
    wrong: ['sftp', '"" x'],
  },
  SyslogFacility: { good: ['AUTH', 'AUTHPRIV', 'local3', 'daemon'], wrong: ['nobody', 'a b'] },
  TCPKeepAlive: flag,
  TrustedUserCAKeys: fileOrNone,
  UnusedConnectionTimeout: { good: ['none', '0', '5m'], wrong: ['x', '-1'] },
  UseDNS: flag,
  UseLogin: deprecated,
  UsePAM: flag,
  UsePrivilegeSeparation: deprecated,
  VerifyReverseMapping: deprecated,
  VersionAddendum: { good: ['a b "c" # d', 'none', 'NONE x'], wrong: [] },
  X11DisplayOffset: count,
  X11Forwarding: flag,
  X11UseLocalhost: flag,
  XAuthLocation: fileOrNone,
};
