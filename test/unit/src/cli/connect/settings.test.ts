/**
 * Command line and ssh_config, with `ssh -G` as the oracle for the options that both know.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { readSettings } from '../../../../../src/cli/connect/settings.ts';
import type { Settings } from '../../../../../src/cli/connect/settings.ts';
import type { SshArguments } from '../../../../../src/cli/connect/ssh-arguments.ts';
import { ClientFailure } from '../../../../../src/ssh/client/failure.ts';

const folder = mkdtempSync(join(tmpdir(), 'sshdesk-settings-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const { homedir: home, username: localUser } = userInfo();
const around = {
  home,
  localUser,
  environment: { SSHDESK_TEST: 'value' },
  systemConfig: '/nonexistent',
};

const config = join(folder, 'config');
// ssh takes only files that are there.
const identities = [join(folder, 'id_one'), join(folder, 'id_two')] as const;
for (const path of identities) writeFileSync(path, '');
mkdirSync(join(folder, 'included'));
writeFileSync(join(folder, 'included', 'one.conf'), 'Host inc\n  Port 1111\n');
writeFileSync(
  config,
  `# a comment
Host alias
    HostName real.example.org
    Port 2200
    User=alice
    IdentityFile ~/.ssh/first
    IdentityFile "/tmp/with space/%r@%h-%p"
    IdentitiesOnly yes
    UserKnownHostsFile /tmp/a /tmp/b
    StrictHostKeyChecking accept-new
    ServerAliveInterval 7
    ServerAliveCountMax 9
    ConnectTimeout 11
Host *.example.org !not.example.org
    User pattern
    HashKnownHosts yes
    HostKeyAlias kept
Match host a.example.org,b.example.org user pattern
    Port 3300
    GSSAPIAuthentication yes
    GSSAPIDelegateCredentials yes
    PKCS11Provider /usr/lib/softhsm/libsofthsm2.so
Match !host c.example.org originalhost short
    HostName %h.example.org
Match all
    AddressFamily inet
    GSSAPIDelegateCredentials no
    PreferredAuthentications gssapi-with-mic,publickey,password
    NumberOfPasswordPrompts 5
Include ${join(folder, 'included')}/*.conf
Host *
    User late
    Port 4400
`,
);

function given(target: string, rest: Partial<SshArguments> = {}): SshArguments {
  return {
    target,
    identityFiles: [],
    port: undefined,
    user: undefined,
    options: [],
    configFile: config,
    isBatch: false,
    ...rest,
  };
}

/** What ssh makes of the same; a keyword may come several times. */
function oracle(args: readonly string[]): Map<string, string[]> {
  const text = execFileSync('ssh', ['-G', ...args], {
    encoding: 'utf8',
    env: { ...process.env, SSHDESK_TEST: 'value' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const values = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const at = line.indexOf(' ');
    const key = line.slice(0, at);
    values.set(key, [...(values.get(key) ?? []), line.slice(at + 1)]);
  }
  return values;
}

function compare(settings: Settings, theirs: Map<string, string[]>): void {
  const only = (key: string): string | undefined => theirs.get(key)?.[0];
  assert.equal(settings.host, only('hostname'));
  assert.equal(String(settings.port), only('port'));
  assert.equal(settings.user, only('user'));
  assert.equal(settings.isIdentitiesOnly ? 'yes' : 'no', only('identitiesonly'));
  assert.equal(settings.isHashed ? 'yes' : 'no', only('hashknownhosts'));
  assert.equal(settings.hostKeyAlias ?? undefined, only('hostkeyalias'));
  const strict = { true: 'yes', false: 'no', ask: 'ask', 'accept-new': 'accept-new' };
  const said = only('stricthostkeychecking') ?? '';
  assert.equal(settings.strictHostKeyChecking, strict[said as keyof typeof strict]);
  assert.equal(String(settings.promptAttempts), only('numberofpasswordprompts'));
  assert.equal(String(settings.keepaliveCountMax), only('serveralivecountmax'));
  assert.equal({ 0: 'any', 4: 'inet', 6: 'inet6' }[settings.family], only('addressfamily'));
  const flag = (is: boolean) => (is ? 'yes' : 'no');
  // On unless it is said otherwise, as with Debian's ssh_config; -F leaves that file out for ssh.
  if (only('gssapiauthentication') === 'yes') assert.ok(settings.gssapiAuthentication);
  assert.equal(flag(settings.gssapiDelegateCredentials), only('gssapidelegatecredentials'));
  assert.equal(settings.methods.includes('gssapi-with-mic'), settings.gssapiAuthentication);
  assert.equal(settings.pkcs11Provider ?? undefined, only('pkcs11provider'));
  const expand = (path: string): string =>
    path
      .replace(/^~/, home)
      .replace('%r', settings.user)
      .replace('%h', settings.host)
      .replace('%p', String(settings.port))
      .replace('${SSHDESK_TEST}', 'value');
  const known = only('userknownhostsfile')?.split(' ').map(expand);
  assert.deepEqual([...settings.userKnownHosts], known);
  // Types that this client cannot offer are not among its defaults.
  const offered = theirs
    .get('identityfile')
    ?.filter((path) => !/^~\/\.ssh\/id_(ecdsa_sk|ed25519_sk|xmss|dsa)$/.test(path));
  assert.deepEqual(
    settings.identityFiles.map((file) => file.path),
    offered?.map(expand),
  );
}

describe('settings are what ssh -G says', () => {
  const cases: readonly (readonly [string, Partial<SshArguments>, readonly string[]])[] = [
    ['alias', {}, []],
    ['bob@alias', {}, []],
    ['alias', { port: '99', user: 'lou' }, ['-p', '99', '-l', 'lou']],
    ['a.example.org', {}, []],
    ['not.example.org', {}, []],
    ['c.example.org', {}, []],
    ['short', {}, []],
    ['inc', {}, []],
    ['INC', {}, []],
    [
      'alias',
      { options: ['Port=77', 'StrictHostKeyChecking no'] },
      ['-o', 'Port=77', '-o', 'StrictHostKeyChecking no'],
    ],
    [
      'alias',
      { options: ['UserKnownHostsFile=/x "/y z"'.replace('"/y z"', '/y')] },
      ['-o', 'UserKnownHostsFile=/x /y'],
    ],
    [
      'other',
      { identityFiles: [identities[0], identities[1]] },
      ['-i', identities[0], '-i', identities[1]],
    ],
    [
      'other',
      { options: ['IdentityFile=/tmp/${SSHDESK_TEST}/%r'] },
      ['-o', 'IdentityFile=/tmp/${SSHDESK_TEST}/%r'],
    ],
  ];
  for (const [target, rest, args] of cases) {
    test([target, ...args].join(' '), async () => {
      const settings = await readSettings(given(target, rest), around);
      compare(settings, oracle(['-F', config, ...args, target]));
    });
  }
});

test('[user@]host[:port], with brackets for IPv6', async () => {
  const plain = { configFile: 'none' };
  const of = async (target: string) => {
    const { host, port, user } = await readSettings(given(target, plain), around);
    return { host, port, user };
  };
  assert.deepEqual(await of('u@h:2200'), { host: 'h', port: 2200, user: 'u' });
  assert.deepEqual(await of('u@d@h'), { host: 'h', port: 22, user: 'u@d' });
  assert.deepEqual(await of('[::1]:2200'), { host: '::1', port: 2200, user: localUser });
  assert.deepEqual(await of('fe80::1%eth0'), { host: 'fe80::1%eth0', port: 22, user: localUser });
});

describe('what is wrong is said with its place', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['Port many', /config2:1: Port: a number from 1 to 65535/],
    ['Host x\nNoSuch 1', /^$/],
    ['NoSuch 1', /config2:1: NoSuch: no such option/],
    ['User "open', /config2:1: .*open quote/],
    ['Match exec true', /config2:1: Match exec: not supported/],
    ['Host *\n ProxyCommand nc %h %p', /config2:2: ProxyCommand is not supported/],
    ['ProxyJump none', /^$/],
    ['ProxyJump a\nProxyCommand nc %h', /^$/],
    ['ProxyCommand none\nProxyJump ,', /^$/],
    ['ProxyJump ""', /config2:1: ProxyJump: a value is missing/i],
    ['ProxyJump a,,b', /not \[user@\]host/],
    ['ProxyJump -oProxyCommand=x', /not a host name/],
    ['ProxyJump a,b,c,d,e,f,g,h,i', /more than 8 hosts/],
    ['ProxyJump %q', /ProxyJump %q: unknown token/],
    ['KexAlgorithms nosuch', /config2:1: KexAlgorithms: Bad SSH2/],
    ['Ciphers 3des-cbc', /config2:1: Ciphers: .*leaves no algorithm/],
    ['Match host h exec true', /config2:1: Match exec: not supported/],
    ['Match host other exec true', /^$/],
    ['Match final host other\nMatch !canonical all', /^$/],
    ['Match host h all', /Match all: goes with no other/],
    ['Match nosuch x', /Match nosuch: no such criterion/],
    ['User a\0b', /config2: holds a NUL/],
    ['StrictHostKeyChecking perhaps', /config2:1: StrictHostKeyChecking: one of/],
    ['IdentityFile %q/x', /unknown token/],
  ];
  for (const [text, expected] of cases) {
    test(text.replace('\n', ' / '), async () => {
      const path = join(folder, 'config2');
      writeFileSync(path, `${text}\n`);
      const reading = readSettings(given('h', { configFile: path }), around);
      if (expected.source === '^$') {
        await reading;
      } else {
        await assert.rejects(reading, (error: unknown) => {
          assert.ok(error instanceof ClientFailure && error.kind === 'usage');
          assert.match(error.detail, expected);
          return true;
        });
      }
    });
  }
});

test('an Include of itself ends', async () => {
  const path = join(folder, 'loop');
  writeFileSync(path, `Include ${path}\n`);
  await assert.rejects(readSettings(given('h', { configFile: path }), around), /nested includes/);
});

test('tickets are tried unless an option says no', async () => {
  const of = async (...options: string[]) =>
    readSettings(given('h', { configFile: 'none', options }), around);
  const on = await of();
  assert.deepEqual([on.gssapiAuthentication, on.gssapiDelegateCredentials], [true, false]);
  assert.equal(on.methods[0], 'gssapi-with-mic');
  const off = await of('GSSAPIAuthentication=no');
  assert.ok(!off.gssapiAuthentication && !off.methods.includes('gssapi-with-mic'));
});

test('options without effect are named once, those of the system file not at all', async () => {
  const path = join(folder, 'ignored');
  writeFileSync(path, 'ForwardX11 yes\nforwardx11 no\nVisualHostKey yes\n');
  const systemConfig = join(folder, 'system');
  writeFileSync(systemConfig, 'VisualHostKey yes\nGSSAPIAuthentication yes\n');
  const own = await readSettings(given('h', { configFile: path }), around);
  assert.deepEqual(own.ignored, ['ForwardX11', 'forwardx11', 'VisualHostKey']);
  const quiet = { ...around, home: folder, systemConfig };
  const { ignored } = await readSettings({ ...given('h'), configFile: undefined }, quiet);
  assert.deepEqual(ignored, []);
});

describe('files that nobody should have written', () => {
  const refuses = (configFile: string, expected: RegExp): Promise<void> =>
    assert.rejects(readSettings(given('h', { configFile }), around), (error: unknown) => {
      assert.ok(error instanceof ClientFailure && error.kind === 'usage', String(error));
      assert.match(error.detail, expected);
      return true;
    });

  test('includes that double at each step, and of a thousand files, end', async () => {
    const path = join(folder, 'doubling');
    writeFileSync(path, `Include ${path}\nInclude ${path}\n`);
    await refuses(path, /too many (?:nested includes|included files)/);
    const wide = join(folder, 'wide');
    mkdirSync(wide);
    for (let at = 0; at < 1025; at += 1) writeFileSync(join(wide, `${at}.conf`), '');
    const including = join(folder, 'including');
    writeFileSync(including, `Include ${wide}/*.conf\n`);
    await refuses(including, /wide\/\*\.conf: too many/);
  });

  test('a loop of links, a folder, a FIFO and a file of two megabytes are named', async () => {
    const loop = join(folder, 'link');
    symlinkSync(loop, loop);
    await refuses(loop, /link: ELOOP/);
    await refuses(folder, /not a regular file/);
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    await refuses(fifo, /fifo: not a regular file/);
    const large = join(folder, 'large');
    writeFileSync(large, '#'.repeat(2 * 1024 * 1024));
    await refuses(large, /large: too large/);
    await readSettings(given('h', { configFile: '/dev/null' }), around);
  });

  test("the person's own file that others may write is refused, and what it includes too", async () => {
    const own = join(folder, 'home', '.ssh');
    mkdirSync(own, { recursive: true });
    const path = join(own, 'config');
    const at = { ...around, home: join(folder, 'home') };
    const read = () => readSettings({ ...given('h'), configFile: undefined }, at);
    writeFileSync(path, 'Port 7\nInclude other\n');
    writeFileSync(join(own, 'other'), 'User carol\n');
    assert.deepEqual([(await read()).port, (await read()).user], [7, 'carol']);
    for (const file of [path, join(own, 'other')]) {
      chmodSync(file, 0o664);
      await assert.rejects(read(), /others may write to it/);
      chmodSync(file, 0o600);
    }
  });
});
