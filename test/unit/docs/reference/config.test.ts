/** The reference says what the tables say, and the tables cover the manual. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { desktopKeywords } from '../../../../src/policy/desktop-keywords.ts';
import {
  deprecatedKeywords,
  meaninglessKeywords,
  unsupportedKeywords,
} from '../../../../src/policy/other-keywords.ts';
import { serverKeywords } from '../../../../src/policy/server-keywords.ts';
import { configReference } from '../../../support/config-reference.ts';

const path = new URL('../../../../docs/reference/config.md', import.meta.url);

/** sshd_config(5) of OpenSSH 10.5, and what Debian's manual adds. */
const manual = `AcceptEnv AddressFamily AllowAgentForwarding AllowGroups AllowStreamLocalForwarding
AllowTcpForwarding AllowUsers AuthenticationMethods AuthorizedKeysCommand AuthorizedKeysCommandUser
AuthorizedKeysFile AuthorizedPrincipalsCommand AuthorizedPrincipalsCommandUser AuthorizedPrincipalsFile
Banner CASignatureAlgorithms ChannelTimeout ChrootDirectory Ciphers ClientAliveCountMax
ClientAliveInterval Compression DebianBanner DenyGroups DenyUsers DisableForwarding ExposeAuthInfo
FingerprintHash ForceCommand GatewayPorts GSSAPIAuthentication GSSAPICleanupCredentials
GSSAPIDelegateCredentials GSSAPIKeyExchange GSSAPIStoreCredentialsOnRekey GSSAPIStrictAcceptorCheck
GSSAPIKexAlgorithms HostbasedAcceptedAlgorithms HostbasedAuthentication HostbasedUsesNameFromPacketOnly HostCertificate
HostKey HostKeyAgent HostKeyAlgorithms IgnoreRhosts IgnoreUserKnownHosts Include IPQoS
KbdInteractiveAuthentication KerberosAuthentication KerberosGetAFSToken KerberosOrLocalPasswd
KerberosTicketCleanup KexAlgorithms ListenAddress LoginGraceTime LogLevel LogVerbose MACs Match
MaxAuthTries MaxSessions MaxStartups ModuliFile PAMServiceName PasswordAuthentication
PermitEmptyPasswords PermitListen PermitOpen PermitRootLogin PermitTTY PermitTunnel
PermitUserEnvironment PermitUserRC PerSourceMaxStartups PerSourceNetBlockSize PerSourcePenalties
PerSourcePenaltyExemptList PidFile Port PrintLastLog PrintMotd PubkeyAcceptedAlgorithms
PubkeyAuthentication PubkeyAuthOptions RDomain RefuseConnection RekeyLimit RequiredRSASize RevokedKeys
SecurityKeyProvider SetEnv SshdAuthPath SshdSessionPath StreamLocalBindMask StreamLocalBindUnlink
StrictModes Subsystem SyslogFacility TCPKeepAlive TrustedUserCAKeys UnusedConnectionTimeout UseDNS
UsePAM VersionAddendum X11DisplayOffset X11Forwarding X11UseLocalhost XAuthLocation`.split(/\s+/);

test('docs/reference/config.md is what the tables say', () => {
  const text = configReference();
  if (process.env.UPDATE_REFERENCE !== undefined) {
    writeFileSync(path, text);
  }
  assert.equal(readFileSync(path, 'utf8'), text);
});

test('every keyword of sshd_config(5) has its place, and only one', () => {
  const places = [
    'Include',
    'Match',
    ...serverKeywords.flatMap((row) => [row.name, ...row.aliases]),
    ...deprecatedKeywords,
    ...meaninglessKeywords,
    ...unsupportedKeywords,
  ].map((name) => name.toLowerCase());
  assert.equal(new Set(places).size, places.length, 'a keyword stands twice');
  assert.deepEqual(
    manual.filter((name) => !places.includes(name.toLowerCase())),
    [],
  );
  const own = desktopKeywords.map((row) => row.name.toLowerCase());
  assert.deepEqual(
    own.filter((name) => places.includes(name)),
    [],
    'a keyword of ours has the name of one of sshd',
  );
});
