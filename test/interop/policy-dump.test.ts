/** `-T` against Debian's sshd: the lines of the keywords in effect, over many configurations. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { systemSource } from '../../src/policy/config-source.ts';
import { dumpConfig } from '../../src/policy/dump.ts';
import { loadConfig } from '../../src/policy/load.ts';
import { serverKeywords } from '../../src/policy/server-keywords.ts';

const sshd = '/usr/sbin/sshd';
const skip = existsSync(sshd) ? false : `${sshd} is not installed`;
const run = promisify(execFile);
let folder = '';

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'policy-dump-'));
});
after(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Case {
  readonly name: string;
  readonly file: string;
  readonly options?: readonly string[];
  readonly ports?: readonly number[];
  readonly hostKeys?: readonly string[];
  readonly addressFamily?: 'inet' | 'inet6';
}

const cases: readonly Case[] = [
  { name: 'nothing at all', file: '' },
  { name: "Debian's untouched file", file: debianFile() },
  { name: 'several ports', file: 'Port 2200\nPort=2201\n"Port" "2202"\n' },
  {
    name: 'listen addresses with and without ports',
    file: 'Port 23\nPort 24\nListenAddress 127.0.0.1\nListenAddress [::1]:99\nListenAddress ::2\nListenAddress 0.0.0.0:5\nListenAddress [::3]\n',
  },
  { name: 'a listen address by name', file: 'ListenAddress localhost\nAddressFamily inet\n' },
  { name: 'IPv4 only', file: 'AddressFamily inet\nPort 1\nPort 2\n' },
  { name: 'IPv6 only, by option', file: 'AddressFamily inet\n', addressFamily: 'inet6' },
  {
    name: 'ports of the command line beside those of the file',
    file: 'Port 5\nListenAddress 1.2.3.4\nListenAddress 1.2.3.4:9\n',
    ports: [77, 78],
  },
  {
    name: 'options before the file',
    file: 'Port 5\nLogLevel ERROR\nAllowUsers b\nPermitRootLogin no\n',
    options: ['Port=6', 'LogLevel quiet', 'AllowUsers=a', 'PermitRootLogin yes'],
  },
  {
    name: 'host keys of both',
    file: 'HostKey /etc/ssh/ssh_host_ed25519_key\nHostKey /a\nHostKey rel\nHostKey ~/x\nHostKey /a\n',
    hostKeys: ['/z'],
  },
  {
    name: 'the first value counts',
    file: 'UsePAM yes\nUsePAM no\nLogLevel verbose\nLogLevel info\nAuthorizedKeysFile a b\nAuthorizedKeysFile c\nForceCommand x\nForceCommand y\nLoginGraceTime 3\nLoginGraceTime 4\n',
  },
  {
    name: 'lists add up',
    file: 'DenyGroups x y*\nDenyUsers e\nAllowGroups z\nAllowGroups w\nDenyUsers f@::1\nAllowUsers a b@1.2.3.0/24 c@*.example.org\nAllowUsers d\nAcceptEnv LANG LC_*\nAcceptEnv "c d" X?\nSubsystem sftp /x -a "b c" # why\nSubsystem foo "a b" c\n',
  },
  { name: 'a forced command stays as it is', file: 'ForceCommand  foo "bar  baz" # x  \n' },
  { name: 'no forced command', file: 'ForceCommand none\n' },
  {
    name: 'times and numbers',
    file: 'LoginGraceTime 1h30m\nMaxAuthTries 0\nMaxSessions 17\nMaxStartups 5\n',
  },
  {
    name: 'what ends when nothing happens',
    file: 'ChannelTimeout session:*=5m agent-connection=10 x=0\nChannelTimeout y=1\nUnusedConnectionTimeout 1h30\n',
  },
  { name: 'classes of packets', file: 'IPQoS ef CS1\n' },
  { name: 'one class of packets', file: 'IPQoS 0x20\n' },
  { name: 'classes by number', file: 'IPQoS 10 010\n' },
  { name: 'no class of packets', file: 'IPQoS none 255\n' },
  { name: 'a class with two names', file: 'IPQoS reliability 0\n' },
  {
    name: 'nothing ends',
    file: 'ChannelTimeout NONE\nUnusedConnectionTimeout None\nUnusedConnectionTimeout 5\n',
  },
  {
    name: 'limits of each source',
    file: 'PerSourceMaxStartups 4\nPerSourceNetBlockSize 24:64\nVerifyReverseMapping yes\n',
  },
  { name: 'no limit of each source', file: 'PerSourceMaxStartups none\n' },
  { name: 'no grace time, three startups', file: 'LoginGraceTime 0\nMaxStartups 3:50:9\n' },
  { name: 'weeks in capitals', file: 'LoginGraceTime 1W2d3H4M5s\n' },
  {
    name: 'choices in capitals',
    file: 'PermitRootLogin FORCED-commands-only\nAllowTcpForwarding ALL\nUsePAM YES\nLogLevel debug1\nAddressFamily INET6\n',
  },
  { name: 'local forwarding', file: 'AllowTcpForwarding local\nPermitOpen a:1 [::1]:* *:4\n' },
  {
    name: 'listeners of remote forwarding',
    file: 'PermitListen 8080 localhost:9 [::1]:* *:7\nPermitListen none\nGatewayPorts ClientSpecified\nPermitTunnel no\n',
  },
  {
    name: 'Unix sockets',
    file: 'AllowStreamLocalForwarding Local\nStreamLocalBindMask 22\nStreamLocalBindUnlink yes\n',
  },
  {
    name: 'no listeners',
    file: 'PermitListen none\nAllowStreamLocalForwarding all\nStreamLocalBindMask 0\n',
  },
  {
    name: 'no destinations',
    file: 'AllowTcpForwarding remote\nPermitOpen none\nPermitOpen any\nLogLevel DEBUG3\n',
  },
  {
    name: 'old names',
    file: 'ChallengeResponseAuthentication no\nDSAAuthentication no\nPermitRootLogin without-password\n',
  },
  { name: 'Skey', file: 'SkeyAuthentication no\nPasswordAuthentication no\nStrictModes no\n' },
  {
    name: 'paths',
    file: 'PidFile ~/x\nAuthorizedKeysFile ~/k %h/%%x /etc/keys/%u #c\n',
  },
  {
    name: 'sftp alone',
    file: 'ChrootDirectory /srv/%u/%%\nChrootDirectory none\nForceCommand internal-sftp -d /x -R\nSubsystem sftp internal-sftp -l INFO\n',
  },
  { name: 'no ChrootDirectory', file: 'ChrootDirectory NONE\nChrootDirectory %h\n' },
  {
    name: 'X11, agent and keepalive',
    file: 'X11Forwarding yes\nX11DisplayOffset 50\nX11UseLocalhost no\nXAuthLocation /opt/x/xauth\nPermitUserRC no\nAllowAgentForwarding no\nDisableForwarding yes\nClientAliveInterval 1m30\nClientAliveCountMax 0\nKeepAlive no\n',
  },
  {
    name: 'keys of users',
    file: 'TrustedUserCAKeys ~/ca\nRevokedKeys rel\nRequiredRSASize 2048\nPubkeyAuthOptions verify-required touch-required\nPubkeyAcceptedAlgorithms ^rsa-*,ssh-dss\nCASignatureAlgorithms -ecdsa-*\n',
  },
  {
    name: 'keys of users, other lists',
    file: 'PubkeyAcceptedKeyTypes +ssh-rsa,webauthn*\nCASignatureAlgorithms ssh-ed25519,rsa-sha2-512,ssh-ed25519\nPubkeyAuthOptions none\nRevokedKeys none\n',
  },
  {
    name: 'keys of users by pattern',
    file: 'PubkeyAcceptedAlgorithms ssh-*,sk-*\nCASignatureAlgorithms +*\nPubkeyAuthOptions Touch-Required none\n',
  },
  {
    name: 'what hardened files say of methods that are not there',
    file: 'IgnoreRhosts yes\nHostbasedAuthentication no\nIgnoreUserKnownHosts no\nKerberosAuthentication no\nGSSAPIAuthentication no\nPermitEmptyPasswords no\nUseDNS no\nChrootDirectory none\nSyslogFacility AUTH\nPerSourceMaxStartups none\nExposeAuthInfo NO\nFingerprintHash sha256\nDebianBanner no\nProtocol 2\nUsePrivilegeSeparation sandbox\n',
  },
  {
    name: 'what a session is told',
    file: 'PrintMotd no\nPrintLastLog no\nExposeAuthInfo yes\nMatch User u\nExposeAuthInfo no\n',
  },
  { name: 'variables of every session', file: 'SetEnv A=b "C=d e" F= G=x=y\n' },
  { name: 'a banner', file: 'Banner ~/issue\nBanner none\n' },
  { name: 'no xauth', file: 'XAuthLocation none\nTCPKeepAlive no\n' },
  { name: 'no pid file, no keys', file: 'PidFile none\nAuthorizedKeysFile none\n' },
  { name: 'a relative pid file in quotes', file: 'PidFile "a\\"b"\nPermitTTY = no\n' },
  { name: 'names of the user', file: 'PermitUserEnvironment LANG,LC_*\n' },
  { name: 'every name of the user', file: 'PermitUserEnvironment yes\n' },
  {
    name: 'algorithms by name',
    file: 'KexAlgorithms curve25519-sha256,ecdh-sha2-nistp256\nCiphers ,aes128-ctr,aes128-ctr,chacha20-poly1305@openssh.com,\nMACs hmac-sha2-512,hmac-sha2-256-etm@openssh.com\nHostKeyAlgorithms ssh-ed25519,rsa-sha2-*\n',
  },
  {
    name: 'host certificates, an agent, an addendum, the last of them first',
    file: 'HostCertificate /a\nHostCertificate b\nHostKeyAgent ~/x\nVersionAddendum  a b "c" # d \nCompression no\nRekeyLimit 1.5M 90\n',
  },
  {
    name: 'the agent of the environment, delayed compression, new keys each hour',
    file: 'HostKeyAgent SSH_AUTH_SOCK\nCompression DELAYED\nRekeyLimit default 1h\nVersionAddendum NONE\n',
  },
  { name: 'new keys by size', file: 'RekeyLimit 64k none\nCompression yes\nHostKeyAgent none\n' },
  { name: 'new keys by a large size', file: 'RekeyLimit .5G\nVersionAddendum NONE x\n' },
  {
    name: 'odd blanks',
    file: "\tPort\t24\r\n  # a\n\n   \t\nMaxSessions=3   # because\nPermitTTY =yes\nAuthorizedKeysFile a#b 'c d' e\\ f g\\x\n",
  },
  {
    name: 'included files first',
    file: 'Include FOLDER/sub/*.conf\nPort 1\nMaxSessions 1\nInclude FOLDER/none/*\n',
  },
];

function debianFile(): string {
  try {
    return readFileSync('/usr/share/openssh/sshd_config', 'utf8');
  } catch {
    // Not Debian's package: the file in use is the next best.
    return readFileSync('/etc/ssh/sshd_config', 'utf8');
  }
}

/** Debian's 9.2 does not know these. */
const newer = ['persourcepenalties', 'persourcepenaltyexemptlist', 'refuseconnection'];
const names = new Set(
  serverKeywords.map((row) => row.name.toLowerCase()).filter((name) => !newer.includes(name)),
);
/** The defaults of these are our own (test/unit has them); what a file names is compared. */
const ownDefaults = ['kexalgorithms', 'ciphers', 'macs', 'hostkeyalgorithms'];

function compared(lines: readonly string[], of: Case): readonly string[] {
  return lines.filter((line) => {
    const name = line.split(' ')[0] ?? '';
    return (
      names.has(name) &&
      (!ownDefaults.includes(name) || new RegExp(`^${name} `, 'im').test(of.file))
    );
  });
}

async function theirDump(path: string, of: Case): Promise<readonly string[]> {
  const { stdout } = await run(
    sshd,
    [
      '-T',
      '-f',
      path,
      ...(of.options ?? []).flatMap((option) => ['-o', option]),
      ...(of.ports ?? []).flatMap((port) => ['-p', String(port)]),
      ...(of.hostKeys ?? []).flatMap((key) => ['-h', key]),
      ...(of.addressFamily === undefined ? [] : [of.addressFamily === 'inet' ? '-4' : '-6']),
    ],
    { timeout: 20_000 },
  );
  return stdout.trimEnd().split('\n');
}

for (const of of cases) {
  test(`-T prints what sshd prints: ${of.name}`, { skip, timeout: 30_000 }, async () => {
    const path = join(folder, 'config');
    mkdirSync(join(folder, 'sub'), { recursive: true });
    writeFileSync(join(folder, 'sub/20.conf'), 'Port 20\nMaxSessions 20\n');
    writeFileSync(join(folder, 'sub/10.conf'), 'Port 10\nMaxSessions 10\n');
    writeFileSync(join(folder, 'sub/.hidden.conf'), 'Port 99\n');
    writeFileSync(path, of.file.replaceAll('FOLDER', folder));
    const { config } = await loadConfig({
      file: path,
      commandLine: of.options ?? [],
      ...(of.ports === undefined ? {} : { ports: of.ports }),
      ...(of.hostKeys === undefined ? {} : { hostKeys: of.hostKeys }),
      ...(of.addressFamily === undefined ? {} : { addressFamily: of.addressFamily }),
      source: systemSource(),
    });
    const theirs = compared(await theirDump(path, of), of);
    assert.ok(theirs.length >= 20, 'sshd printed the keywords');
    assert.deepEqual(compared(dumpConfig(config), of), theirs);
  });
}

const wrongLines = [
  'Foo bar',
  'Port',
  'Port x',
  'Port 70000',
  'Port 1 2',
  'Port==24',
  'PermitTTY maybe',
  'UsePAM yes no',
  'StrictModes "yes',
  'MaxStartups 3:30:2',
  'MaxStartups 3:30',
  'MaxStartups 0',
  'MaxStartups 10:0:20',
  'IPQoS 256',
  'IPQoS -1',
  'IPQoS 08',
  'IPQoS 1x',
  'IPQoS fast',
  'IPQoS le ef x',
  'ChannelTimeout x',
  'ChannelTimeout x=',
  'ChannelTimeout a=5q',
  'ChannelTimeout =5',
  'UnusedConnectionTimeout soon',
  'PerSourceMaxStartups -1',
  'PerSourceMaxStartups None',
  'PerSourceNetBlockSize 33',
  'PerSourceNetBlockSize 24:129',
  'PerSourceNetBlockSize x',
  'MaxAuthTries -1',
  'MaxAuthTries 99999999999',
  'MaxSessions 0x10',
  'LoginGraceTime 1x',
  'LoginGraceTime -1',
  'LogLevel loud',
  'AcceptEnv A=B',
  'AllowUsers b@1.2.3.1/24',
  'AllowUsers ""',
  'PermitOpen a',
  'PermitOpen any a:1',
  'PermitOpen a:0',
  'ListenAddress 0.0.0.0:22 rdomain x',
  'ListenAddress 0.0.0.0:x',
  'Subsystem sftp',
  'ForceCommand',
  'Include',
  'PermitRootLogin maybe',
  'AllowTcpForwarding some',
  'AddressFamily inet5',
  'KexAlgorithms foo',
  'KexAlgorithms curve*',
  'KexAlgorithms +',
  'Ciphers aes*',
  'Ciphers +foo',
  'Ciphers ^foo',
  'Ciphers ^',
  'Ciphers AES128-CTR',
  'Ciphers aes128-ctr,!aes256-ctr',
  'Ciphers aes128-ctr aes256-ctr',
  'MACs foo',
  'HostKeyAlgorithms foo',
  'HostKeyAlgorithms foo*',
  'HostKeyAlgorithms +foo',
  'HostKeyAlgorithms ssh-ed25519,!rsa*',
  'Compression maybe',
  'RekeyLimit 15',
  'RekeyLimit 1.5',
  'RekeyLimit none',
  'RekeyLimit DEFAULT',
  'RekeyLimit default default',
  'RekeyLimit 1G 1h x',
  'RekeyLimit 1G never',
  'RekeyLimit 1KB',
  'RekeyLimit 99999999999999999999',
  'RekeyLimit -5',
  'VersionAddendum',
  'HostKeyAgent a b',
];

test('what sshd refuses is refused here', { skip, timeout: 60_000 }, async () => {
  const path = join(folder, 'wrong');
  for (const line of wrongLines) {
    writeFileSync(path, `${line}\n`);
    await assert.rejects(run(sshd, ['-T', '-f', path], { timeout: 20_000 }), line);
    await assert.rejects(
      loadConfig({ file: path, commandLine: [], source: systemSource() }),
      { code: 'SSHDESK_CONFIG' },
      line,
    );
  }
});
