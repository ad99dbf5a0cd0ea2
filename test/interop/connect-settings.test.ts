/**
 * ssh_config(5) as `sshdesk connect` reads it against `ssh -G` of the installed client: a table, and
 * files made at random from the keywords, blocks and patterns that both know.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { readSettings, type Settings } from '../../src/cli/connect/settings.ts';
import { wholeOffer } from '../../src/ssh/client/algorithm-options.ts';
import { currentOpenssh, currentOpensshIsMissing } from '../support/current-openssh.ts';
import { missingClient } from '../support/missing-client.ts';
import { ClientFailure } from '../../src/ssh/client/failure.ts';

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'sshdesk-config-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const { homedir: home, username: localUser } = userInfo();
const around = { home, localUser, environment: {}, systemConfig: '/nonexistent' };

type Values = ReadonlyMap<string, readonly string[]>;

type CommandLine = (args: readonly string[]) => readonly string[];

/** What ssh makes of it, or what it says of a file that it does not take. */
async function theirs(ssh: CommandLine, args: readonly string[]): Promise<Values | string> {
  try {
    const [program = '', ...rest] = ssh(['-G', ...args]);
    const { stdout } = await run(program, rest, { env: { PATH: '/usr/bin:/bin', HOME: home } });
    const values = new Map<string, string[]>();
    for (const line of stdout.split('\n')) {
      const at = line.indexOf(' ');
      const key = line.slice(0, at);
      values.set(key, [...(values.get(key) ?? []), line.slice(at + 1)]);
    }
    return values;
  } catch (error) {
    return (error as { stderr?: string }).stderr ?? String(error);
  }
}

async function ours(target: string, configFile: string, options: readonly string[] = []) {
  const none = { identityFiles: [], port: undefined, user: undefined, isBatch: false };
  try {
    return await readSettings({ ...none, target, options, configFile }, around);
  } catch (error) {
    if (error instanceof ClientFailure && error.kind === 'usage') return error.detail;
    throw error;
  }
}

const yesNo = (is: boolean): string => (is ? 'yes' : 'no');
const withHome = (path: string): string => path.replace(/^~(?=\/)/, home);
const strictness = { yes: 'true', no: 'false', ask: 'ask', 'accept-new': 'accept-new' } as const;
/** Of ssh's own defaults, those of types that this client cannot offer. */
const notOffered = /^~\/\.ssh\/id_(?:ecdsa_sk|ed25519_sk|xmss|dsa|mldsa\w+)$/;

/** One row per keyword: ours, in ssh's words. */
function shown(settings: Settings): Readonly<Record<string, string | undefined>> {
  return {
    hostname: settings.host,
    port: String(settings.port),
    user: settings.user,
    hostkeyalias: settings.hostKeyAlias ?? undefined,
    identitiesonly: yesNo(settings.isIdentitiesOnly),
    hashknownhosts: yesNo(settings.isHashed),
    requiredrsasize: String(settings.requiredRsaBits),
    updatehostkeys: { yes: 'true', no: 'false', ask: 'ask' }[settings.updateHostKeys],
    gssapiauthentication: yesNo(settings.gssapiAuthentication),
    gssapidelegatecredentials: yesNo(settings.gssapiDelegateCredentials),
    pkcs11provider: settings.pkcs11Provider ?? undefined,
    revokedhostkeys: settings.revokedHostKeys ?? undefined,
    stricthostkeychecking: strictness[settings.strictHostKeyChecking],
    numberofpasswordprompts: String(settings.promptAttempts),
    serveralivecountmax: String(settings.keepaliveCountMax),
    batchmode: yesNo(settings.isBatch),
    addressfamily: { 0: 'any', 4: 'inet', 6: 'inet6' }[settings.family],
    userknownhostsfile: settings.userKnownHosts.join(' '),
    globalknownhostsfile: settings.globalKnownHosts.join(' '),
    identityfile: settings.identityFiles.map(({ path }) => path).join(' '),
    certificatefile: settings.certificateFiles.join(' '),
    casignaturealgorithms: settings.authorityAlgorithms.join(','),
    kexalgorithms: settings.offer.kex.join(','),
    hostkeyalgorithms: settings.offer.hostKey.join(','),
    ciphers: settings.offer.cipher.join(','),
    macs: settings.offer.mac.join(','),
  };
}

const implemented: Readonly<Record<string, readonly string[]>> = {
  kexalgorithms: wholeOffer.kex,
  hostkeyalgorithms: wholeOffer.hostKey,
  ciphers: wholeOffer.cipher,
  macs: wholeOffer.mac,
};
/** Lists whose defaults differ (decision 0004): what was written has to come out alike. */
const listed = Object.keys(implemented);

/** Theirs as this client would have it: without what it has not, and with the home filled in. */
function expected(key: string, values: Values): string | undefined {
  const found = (values.get(key) ?? []).filter((value) => !notOffered.test(value)).map(withHome);
  if (key === 'identityfile' || key === 'certificatefile') {
    return found.filter((path) => path !== 'none').join(' ');
  }
  const text = found.join(' ').split(' ').map(withHome).join(' ');
  if (found.length === 0 || (text === 'none' && key !== 'userknownhostsfile')) return undefined;
  if (key === 'casignaturealgorithms') {
    // Newer ones take signatures of browsers by default; no authority makes them.
    return text
      .split(',')
      .filter((name) => !/webauthn|mldsa/.test(name))
      .join(',');
  }
  const names = implemented[key];
  return names === undefined
    ? text
    : text
        .split(',')
        .filter((name) => names.includes(name))
        .join(',');
}

interface Oracle {
  readonly ssh: CommandLine;
  /** Names of algorithms: an older ssh has no ML-KEM. */
  readonly known: ReadonlySet<string>;
}

function oracleOf(ssh: CommandLine): Oracle {
  const known = ['kex', 'cipher', 'mac', 'HostKeyAlgorithms'].flatMap((kind) => {
    const [program = '', ...rest] = ssh(['-Q', kind]);
    return execFileSync(program, rest, { encoding: 'utf8' }).split('\n');
  });
  return { ssh, known: new Set(known) };
}

function compare(
  settings: Settings,
  values: Values,
  written: string,
  known: ReadonlySet<string>,
): void {
  for (const [key, value] of Object.entries(shown(settings))) {
    // Debian has a newer ssh with GSSAPI and one without.
    if (key.startsWith('gssapi') && !values.has(key)) continue;
    const isDefault = !new RegExp(`^\\s*${key}\\b`, 'im').test(written);
    if (listed.includes(key)) {
      // `+` and `^` are about the defaults, which differ in order and in what there is.
      if (!isDefault) {
        const theirNames = expected(key, values)?.split(',').sort();
        const names = value?.split(',').filter((name) => known.has(name));
        assert.deepEqual(names?.sort(), theirNames, `${key} of\n${written}`);
      }
    } else {
      assert.equal(value || undefined, expected(key, values) || undefined, `${key} of\n${written}`);
    }
  }
}

/** On here without a line, as in the file that Debian puts beside its ssh. */
const withoutGssapi = 'Host *\nGSSAPIAuthentication no\n';

async function check(
  { ssh, known }: Oracle,
  own: string,
  target: string,
  args: readonly string[] = [],
): Promise<void> {
  const written = `${own}${withoutGssapi}`;
  const file = join(folder, `config-${Math.random().toString(36).slice(2)}`);
  writeFileSync(file, written);
  const options = args.filter((arg) => arg !== '-o');
  const [values, settings] = [
    await theirs(ssh, ['-F', file, ...args, target]),
    await ours(target, file, options),
  ];
  if (typeof values === 'string') {
    assert.equal(
      typeof settings,
      'string',
      `ssh refuses: ${values}\nof ${target} with\n${written}`,
    );
    return;
  }
  assert.notEqual(typeof settings, 'string', `${String(settings)}\nof ${target} with\n${written}`);
  compare(settings as Settings, values, `${written}\n${options.join('\n')}`, known);
}

const rows: readonly (readonly [string, string, ...string[]])[] = [
  ['', 'desk'],
  ['Match final all\nPort 7\nHost *\nPort 8\n', 'desk'],
  ['Match final host real\nUser late\nHost desk\nHostName real\nHost real\nPort 9\n', 'desk'],
  ['Host desk\nHostName REAL.example\nMatch host real.example\nPort 9\n', 'desk'],
  ['Match !final host desk\nPort 7\n', 'desk'],
  ['Match canonical\nPort 7\n', 'desk'],
  ['Match canonical all\nPort 7\n', 'desk'],
  ['Match user root\nPort 7\n', 'desk'],
  ['Match user=root\nPort 7\n', 'desk'],
  ['Match host desk user other,root localuser *\nPort 7\n', 'desk'],
  ['Match originalhost d?sk host real\nPort 7\nHost desk\nHostName real\n', 'desk'],
  ['Match all\nPort 7\n', 'desk'],
  ['Host * !desk\nPort 7\nHost !x\nUser a\n', 'desk'],
  ['HostKeyAlgorithms +ecdsa-sha2-nistp256\n', 'desk'],
  ['HostKeyAlgorithms ssh-ed25519,rsa-sha2-*\n', 'desk'],
  ['HostKeyAlgorithms -*cert*,ssh-ed25519\n', 'desk'],
  [
    'KexAlgorithms curve25519-sha256,ecdh-sha2-nistp256,sntrup761x25519-sha512@openssh.com\n',
    'desk',
  ],
  ['KexAlgorithms -diffie-hellman-*,*sntrup*\n', 'desk'],
  ['KexAlgorithms nosuch\n', 'desk'],
  ['Ciphers ^aes256-ctr\nCiphers aes128-ctr\n', 'desk'],
  ['Ciphers\n', 'desk'],
  ['MACs hmac-sha2-256,hmac-sha1\n', 'desk'],
  ['MACs nosuch\n', 'desk'],
  ['CASignatureAlgorithms ^rsa-sha2-256\n', 'desk'],
  ['CASignatureAlgorithms -ecdsa*,sk*\n', 'desk'],
  ['RevokedHostKeys /etc/revoked\nRevokedHostKeys /other\n', 'desk'],
  ['CertificateFile ~/a\nCertificateFile /b\nIdentityFile ~/c\nIdentityFile none\n', 'desk'],
  ['UserKnownHostsFile ~/a /b\nGlobalKnownHostsFile /c\n', 'desk'],
  ['StrictHostKeyChecking off\n', 'desk', '-o', 'StrictHostKeyChecking=accept-new'],
  ['StrictHostKeyChecking maybe\n', 'desk'],
  ['GSSAPIAuthentication true\n', 'desk'],
  ['GSSAPIAuthentication perhaps\n', 'desk'],
  ['Port 0\n', 'desk'],
  ['RequiredRSASize 3072\n', 'desk'],
  ['Port 65536\n', 'desk'],
  ['Port = 77\nUser\t"a b"\n', 'desk'],
  ['Port 22 # why\n', 'desk'],
  ['Include /nonexistent/*\nPort 5\n', 'desk'],
  ['Host\nPort 5\n', 'desk'],
  ['Match\nPort 5\n', 'desk'],
  ['Match host\nPort 5\n', 'desk'],
  ['Match all host x\nPort 5\n', 'desk'],
  ['Match nosuch x\nPort 5\n', 'desk'],
  ['User "a\n', 'desk'],
  ['NoSuchKeyword x\n', 'desk'],
  ['HostName %h.example\n', 'desk'],
  ['HostName %%x\n', 'desk'],
  ['HostName %z\n', 'desk'],
  ['ProxyJump none\n', 'desk'],
  ['ProxyJump a,,b\n', 'desk'],
  ['Match !user=root\nPort 7\n', 'desk'],
];

/** Numbers that are the same in every run, so that what fails fails again. */
function numbersFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
}

function randomFile(seed: number): string {
  const next = numbersFrom(seed);
  const pick = <T>(values: readonly T[]): T => values[next(values.length)] as T;
  const pattern = () =>
    pick(['*', 'desk', 'd?sk', '!desk', 'real', '*.example', '!x', 'DESK', 'cap']);
  const list = (separator: string) => Array.from({ length: 1 + next(3) }, pattern).join(separator);
  const settings = () =>
    pick([
      () => `HostName ${pick(['real', 'Real.Example', '%h.example', '127.0.0.1'])}`,
      () => `Port ${1 + next(65535)}`,
      () => `User${pick([' ', '=', ' = '])}${pick(['alice', '"bob b"', 'root'])}`,
      () => `IdentityFile ${pick(['~/a', '/b', '"/c d"'])}`,
      () => `IdentitiesOnly ${pick(['yes', 'no', 'true'])}`,
      () => `CertificateFile /cert${next(4)}`,
      () => `UserKnownHostsFile /k${next(4)} ~/k${next(4)}`,
      () => `StrictHostKeyChecking ${pick(['yes', 'no', 'ask', 'accept-new', 'off'])}`,
      () => `GSSAPIAuthentication ${pick(['yes', 'no'])}`,
      () => `GSSAPIDelegateCredentials ${pick(['yes', 'no'])}`,
      () => `PKCS11Provider /lib/p${next(3)}.so`,
      () => `RevokedHostKeys /r${next(3)}`,
      () => `HashKnownHosts ${pick(['yes', 'no'])}`,
      () => `UpdateHostKeys ${pick(['yes', 'no', 'ask'])}`,
      () => `HostKeyAlias ${pick(['alias', 'desk'])}`,
      () => `AddressFamily ${pick(['any', 'inet', 'inet6'])}`,
      () => `BatchMode ${pick(['yes', 'no'])}`,
      () => `CASignatureAlgorithms ${pick(['-rsa*', '^rsa-sha2-256', 'ssh-ed25519'])}`,
      () => `Ciphers ${pick(['aes128-ctr,aes256-ctr', '-aes*-ctr', 'aes256-gcm@openssh.com'])}`,
    ])();
  const criterion = () =>
    pick([
      () => `host ${list(',')}`,
      () => `!host ${list(',')}`,
      () => `originalhost ${list(',')}`,
      () => `user ${pick(['root', 'alice', 'root,bob', '!root'])}`,
      () => `localuser ${pick(['*', 'root', 'nobody'])}`,
      () => pick(['final', '!canonical', 'canonical']),
    ])();
  const lines = Array.from({ length: 4 + next(20) }, () => {
    const kind = next(10);
    if (kind < 2) return `Host ${list(' ')}`;
    if (kind < 4) {
      return `Match ${next(5) === 0 ? 'all' : Array.from({ length: 1 + next(3) }, criterion).join(' ')}`;
    }
    return `  ${settings()}`;
  });
  return `${lines.join('\n')}\n`;
}

const hasGssapi = (ssh: CommandLine): boolean => {
  const [program = '', ...rest] = ssh(['-G', '-F', 'none', 'desk']);
  const env = { PATH: '/usr/bin:/bin', HOME: home };
  return execFileSync(program, rest, { encoding: 'utf8', env }).includes('gssapi');
};
const oracles: readonly (readonly [string, CommandLine, string | false])[] = [
  ['the installed ssh', (args) => ['ssh', ...args], false],
  ['the newest ssh', (args) => currentOpenssh('ssh', args), currentOpensshIsMissing],
];
for (const [name, ssh, isMissing] of oracles) {
  const skip = isMissing === false ? false : `${missingClient} openssh-current: ${isMissing}`;
  describe(`ssh_config as ${name} reads it`, { skip, timeout: 60_000 }, () => {
    const oracle = isMissing === false ? oracleOf(ssh) : { ssh, known: new Set<string>() };
    for (const [written, target, ...args] of rows) {
      if (written.includes('perhaps') && !hasGssapi(ssh)) continue;
      const title = `${written.trim().replaceAll('\n', ' / ')} ${args.join(' ')}`.trim();
      test(title || 'nothing', () => check(oracle, written, target, args));
    }

    test('120 files made at random', async () => {
      const targets = ['desk', 'real', 'cap.example', 'alice@desk'];
      for (let seed = 1; seed <= 120; seed += 1) {
        await check(oracle, randomFile(seed), targets[seed % 4] as string);
      }
    });
  });
}
