/** Who may log in and what a login may do: the narrower of configuration and key. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KeyOptions, parseKeyOptions } from '../../../../keys/key-options.ts';
import { acceptsEnvironmentName } from '../../../../src/policy/accept-env.ts';
import { type LoginCandidate, mayLogin, permitRootLogin } from '../../../../src/policy/access.ts';
import {
  expandAuthorizedKeysFiles,
  isPathSafeUser,
} from '../../../../src/policy/authorized-keys-files.ts';
import type { RootLogin, ServerConfig } from '../../../../src/policy/config.ts';
import { checkConnectionSpec } from '../../../../src/policy/connection-spec.ts';
import {
  type Grant,
  grantFor,
  mayTakeUserEnvironment,
  withoutForwarding,
} from '../../../../src/policy/grant.ts';
import { loadConfig } from '../../../../src/policy/load.ts';
import { mayOpen, openRefusalLine } from '../../../../src/policy/permit-open.ts';
import { memorySource } from '../../../support/config-files.ts';

async function configOf(text: string): Promise<ServerConfig> {
  const source = memorySource({ '/c': text });
  return (await loadConfig({ file: '/c', commandLine: [], source })).config;
}
function optionsOf(text: string): KeyOptions {
  const parsed = parseKeyOptions(text);
  assert.ok(parsed.ok, text);
  return parsed.options;
}
async function grant(config: string, key?: string): Promise<Grant> {
  return grantFor(await configOf(config), key === undefined ? undefined : optionsOf(key), {
    user: 'me',
    uid: 1000,
    home: '/home/me',
  });
}

const candidate: LoginCandidate = {
  user: 'me',
  groups: ['me'],
  remoteAddress: '192.0.2.7',
  shell: '/bin/sh',
  shellState: 0,
  isLocked: false,
};

const nobodyListed = {
  allowUsers: [],
  denyUsers: [],
  allowGroups: [],
  denyGroups: [],
  chrootDirectory: undefined,
};

test('AllowUsers: no list admits everybody, a list only who is on it', () => {
  const rows: readonly (readonly [readonly string[], boolean])[] = [
    [[], true],
    [['me'], true],
    [['you', 'm?'], true],
    [['you'], false],
    [['me@192.0.2.0/24'], true],
    [['me@10.0.0.0/8'], false],
    [['*@!192.0.2.7,*'], false],
  ];
  for (const [allowUsers, isAllowed] of rows) {
    assert.equal(
      mayLogin({ ...nobodyListed, allowUsers }, candidate).allowed,
      isAllowed,
      allowUsers.join(' '),
    );
  }
});

test('a refused login says why, in sshd’s words', () => {
  assert.deepEqual(mayLogin({ ...nobodyListed, allowUsers: ['you'] }, candidate), {
    allowed: false,
    reason: 'allow-users',
    detail: 'User me from 192.0.2.7 not allowed because not listed in AllowUsers',
  });
  assert.deepEqual(
    mayLogin({ ...nobodyListed, allowUsers: [] }, { ...candidate, isLocked: true }),
    {
      allowed: false,
      reason: 'locked',
      detail: 'User me not allowed because account is locked',
    },
  );
  for (const [shellState, what] of [
    [1, 'does not exist'],
    [2, 'is not executable'],
  ] as const) {
    assert.deepEqual(mayLogin({ ...nobodyListed, allowUsers: [] }, { ...candidate, shellState }), {
      allowed: false,
      reason: 'shell',
      detail: `User me not allowed because shell /bin/sh ${what}`,
    });
  }
});

test('the shell is not looked at where there is a ChrootDirectory: it is the one inside', () => {
  const missing = { ...candidate, shellState: 1 };
  assert.equal(mayLogin({ ...nobodyListed, chrootDirectory: '/srv' }, missing).allowed, true);
});

test('ChrootDirectory: tokens, a home, and names that are no part of a path', async () => {
  for (const [said, meant] of [
    ['none', undefined],
    ['/srv/sftp', '/srv/sftp'],
    ['/srv/%u/%U/%%', '/srv/me/1000/%'],
    ['%h', '/home/me'],
    ['%h/in', '/home/me/in'],
    ['~/in', '/home/me/in'],
  ] as const) {
    assert.equal((await grant(`ChrootDirectory ${said}`)).chrootDirectory, meant, said);
  }
  const config = await configOf('ChrootDirectory /srv/%u');
  for (const user of ['../etc', 'a/b', '.', '..', 'a\nb', '']) {
    const given = grantFor(config, undefined, { user, uid: 1, home: '/' }).chrootDirectory;
    assert.ok(given !== undefined && !given.startsWith('/'), `${user}: ${given}`);
  }
  for (const line of ['srv', '%u', '%hx', '~you', '/srv/%x', '/srv/%']) {
    await assert.rejects(configOf(`ChrootDirectory ${line}`), /c:1: ChrootDirectory: /, line);
  }
});

test('root: each rule against each method, with and without a command of the key', () => {
  const table: Readonly<Record<RootLogin, readonly [boolean, boolean, boolean, boolean]>> = {
    // publickey, publickey with command=, password, keyboard-interactive
    yes: [true, true, true, true],
    'prohibit-password': [true, true, false, false],
    'forced-commands-only': [false, true, false, false],
    no: [false, false, false, false],
  };
  for (const [rule, expected] of Object.entries(table)) {
    const config = { permitRootLogin: rule as RootLogin };
    assert.deepEqual(
      [
        permitRootLogin(config, 'publickey', false).allowed,
        permitRootLogin(config, 'publickey', true).allowed,
        permitRootLogin(config, 'password', false).allowed,
        permitRootLogin(config, 'keyboard-interactive', false).allowed,
      ],
      expected,
      rule,
    );
  }
});

test('ForceCommand beats command= of the key; without either there is none', async () => {
  const both = await grant('ForceCommand config "x"\n', 'command="key"');
  assert.deepEqual([both.forcedCommand, both.forcedCommandSource], ['config "x"', 'config']);
  const key = await grant('', 'command="key"');
  assert.deepEqual([key.forcedCommand, key.forcedCommandSource], ['key', 'key-option']);
  const none = await grant('ForceCommand none\n');
  assert.deepEqual([none.forcedCommand, none.forcedCommandSource], [undefined, undefined]);
});

test('an empty command= is still a forced command', async () => {
  assert.equal((await grant('', 'command=""')).forcedCommand, '');
});

test('a terminal needs both', async () => {
  const rows = [
    ['', undefined, true],
    ['PermitTTY no\n', undefined, false],
    ['', 'no-pty', false],
    ['', 'restrict', false],
    ['', 'restrict,pty', true],
    ['PermitTTY no\n', 'restrict,pty', false],
  ] as const;
  for (const [config, key, expected] of rows) {
    assert.equal((await grant(config, key)).permitTty, expected, `${config} ${key}`);
  }
});

test('restrict covers forwarding of every kind, agent, X11, terminal and rc', async () => {
  const restricted = await grant('', 'restrict');
  assert.equal(restricted.tcpForwarding, 'no');
  assert.ok(!restricted.permitAgentForwarding && !restricted.permitX11Forwarding);
  assert.ok(!restricted.permitTty && !restricted.permitUserRc);
  assert.ok(!mayOpen(restricted, 'rfb.sshdesk', 5900).allowed);
});

test('direct-tcpip: forwarding, PermitOpen and permitopen= all have to agree', async () => {
  const rows = [
    ['', undefined, true],
    ['AllowTcpForwarding no\n', undefined, false],
    ['AllowTcpForwarding remote\n', undefined, false],
    ['AllowTcpForwarding local\n', undefined, true],
    ['AllowTcpForwarding no\n', 'port-forwarding', false],
    ['', 'no-port-forwarding', false],
    ['PermitOpen none\n', undefined, false],
    ['PermitOpen none\n', 'permitopen="a:1"', false],
    ['PermitOpen a:1\n', undefined, true],
    ['PermitOpen A:1\n', undefined, false],
    ['PermitOpen a:2 b:1\n', undefined, false],
    ['PermitOpen *:1\n', undefined, true],
    ['PermitOpen a:*\n', 'permitopen="a:1"', true],
    ['PermitOpen a:1\n', 'permitopen="b:1"', false],
    ['PermitOpen b:1\n', 'permitopen="a:1"', false],
    ['', 'permitopen="a:2",permitopen="a:1"', true],
    ['', 'permitopen="*:1"', true],
  ] as const;
  for (const [config, key, expected] of rows) {
    assert.equal(mayOpen(await grant(config, key), 'a', 1).allowed, expected, `${config} ${key}`);
  }
});

test('a refused destination is logged as sshd does', async () => {
  const request = {
    host: 'a',
    port: 1,
    originAddress: '127.0.0.1',
    originPort: 5,
    remoteAddress: '192.0.2.7',
    remotePort: 9,
  };
  const off = mayOpen(await grant('AllowTcpForwarding no\n'), 'a', 1);
  assert.equal(
    !off.allowed && openRefusalLine(off.reason, request),
    'refused local port forward: originator 127.0.0.1 port 5, target a port 1',
  );
  const notListed = mayOpen(await grant('PermitOpen b:1\n'), 'a', 1);
  assert.equal(
    !notListed.allowed && openRefusalLine(notListed.reason, request),
    'Received request from 192.0.2.7 port 9 to connect to host a port 1, but the request was denied.',
  );
});

test('agent, X11 and rc need configuration and key', async () => {
  const rows = [
    ['', undefined, true, false, true],
    ['X11Forwarding yes\n', undefined, true, true, true],
    [
      'X11Forwarding yes\nAllowAgentForwarding no\nPermitUserRC no\n',
      undefined,
      false,
      true,
      false,
    ],
    ['X11Forwarding yes\n', 'no-X11-forwarding', true, false, true],
    ['X11Forwarding yes\n', 'no-agent-forwarding,no-user-rc', false, true, false],
    ['X11Forwarding yes\n', 'restrict', false, false, false],
    ['X11Forwarding yes\n', 'restrict,X11-forwarding,agent-forwarding,user-rc', true, true, true],
    ['', 'restrict,X11-forwarding', false, false, false],
    ['AllowAgentForwarding no\n', 'agent-forwarding', false, false, true],
  ] as const;
  for (const [config, key, agent, x11, rc] of rows) {
    const { permitAgentForwarding, permitX11Forwarding, permitUserRc } = await grant(config, key);
    assert.deepEqual(
      [permitAgentForwarding, permitX11Forwarding, permitUserRc],
      [agent, x11, rc],
      `${config} ${key}`,
    );
  }
});

test('DisableForwarding covers forwarding of every kind, agent and X11', async () => {
  const off = await grant(
    'DisableForwarding yes\nX11Forwarding yes\nAllowAgentForwarding yes\nAllowTcpForwarding yes\n',
    'X11-forwarding,agent-forwarding,port-forwarding',
  );
  assert.equal(off.tcpForwarding, 'no');
  assert.ok(!off.permitAgentForwarding && !off.permitX11Forwarding);
  assert.ok(off.permitTty && off.permitUserRc);
});

test('an expired password takes every forwarding away', async () => {
  const grantNow = withoutForwarding(await grant(''));
  assert.equal(grantNow.tcpForwarding, 'no');
  assert.ok(!grantNow.permitAgentForwarding && !grantNow.permitX11Forwarding && grantNow.permitTty);
});

test('environment= counts only with PermitUserEnvironment, and never for the linker', async () => {
  const key =
    'environment="A=1",environment="LD_PRELOAD=x",environment="PATH=/x",environment="B=2"';
  assert.deepEqual((await grant('', key)).environment, []);
  assert.deepEqual((await grant('PermitUserEnvironment yes\n', key)).environment, [
    ['A', '1'],
    ['PATH', '/x'],
    ['B', '2'],
  ]);
  const listed = await grant('PermitUserEnvironment A,L*,!B\n', key);
  assert.deepEqual(listed.environment, [['A', '1']]);
  assert.ok(mayTakeUserEnvironment(listed, 'A'));
  assert.ok(!mayTakeUserEnvironment(listed, 'B'));
  assert.ok(!mayTakeUserEnvironment(await grant(''), 'A'));
});

test('AcceptEnv: patterns, within names that no pattern opens', () => {
  const some = { acceptEnv: ['LANG', 'LC_*', 'X?'] };
  for (const name of ['LANG', 'LC_ALL', 'LC_', 'X1']) {
    assert.ok(acceptsEnvironmentName(some, name), name);
  }
  for (const name of ['LANGUAGE', 'lang', 'X', 'X11', '', 'TERM']) {
    assert.ok(!acceptsEnvironmentName(some, name), name);
  }
  assert.ok(!acceptsEnvironmentName({ acceptEnv: [] }, 'LANG'));
  const all = { acceptEnv: ['*'] };
  for (const name of [
    'LD_PRELOAD',
    'LD_LIBRARY_PATH',
    'LD_AUDIT',
    'GLIBC_TUNABLES',
    'PATH',
    'HOME',
    'SHELL',
    'BASH_ENV',
    'ENV',
    'IFS',
    'SHELLOPTS',
    'BASH_FUNC_x%%',
    'NODE_OPTIONS',
    'PYTHONPATH',
    'PERL5OPT',
    'SSH_ORIGINAL_COMMAND',
    'SSH_CONNECTION',
    'A=B',
    'A B',
    'A\n',
    'A\0',
    '1A',
    'É',
    'a'.repeat(256),
  ]) {
    assert.ok(!acceptsEnvironmentName(all, name), name);
  }
  assert.ok(acceptsEnvironmentName(all, 'MY_OWN'));
  assert.ok(acceptsEnvironmentName(all, 'TERM'));
});

const account = { user: 'me', uid: 1000, home: '/home/me' };

test('key files: tokens, relative ones below the home', () => {
  const expand = (files: readonly string[]): readonly string[] =>
    expandAuthorizedKeysFiles({ authorizedKeysFiles: files }, account);
  assert.deepEqual(expand(['.ssh/authorized_keys', '/etc/keys/%u', '%h/%U', '/a%%b/%%u']), [
    '/home/me/.ssh/authorized_keys',
    '/etc/keys/me',
    '/home/me/1000',
    '/a%b/%u',
  ]);
  assert.deepEqual(expand(['/a%z', '/a%', `/${'x'.repeat(5000)}`]), []);
});

test('a user name that could leave its place gets no path at all', () => {
  const hostile = [
    '',
    '.',
    '..',
    '../x',
    'a/b',
    '/root',
    'a\\b',
    'a\0b',
    'a\nb',
    'a\u001b[31m',
    '\u0085',
    'x'.repeat(65_536),
  ];
  for (const user of hostile) {
    assert.ok(!isPathSafeUser(user), JSON.stringify(user.slice(0, 20)));
    const files = { authorizedKeysFiles: ['/etc/keys/%u', '.ssh/authorized_keys'] };
    assert.deepEqual(expandAuthorizedKeysFiles(files, { ...account, user }), []);
  }
  for (const user of [
    'me',
    'first.last',
    'a-b_c',
    'user@realm',
    'DOM+user',
    'machine$',
    '-oProxy',
    '%n%s%h',
  ]) {
    assert.ok(isPathSafeUser(user), user);
  }
});

test('a token in a value is not expanded again', () => {
  const files = { authorizedKeysFiles: ['/k/%u'] };
  assert.deepEqual(expandAuthorizedKeysFiles(files, { ...account, user: '%h' }), ['/k/%h']);
  assert.deepEqual(expandAuthorizedKeysFiles(files, { ...account, user: '$&$1' }), ['/k/$&$1']);
  assert.deepEqual(
    expandAuthorizedKeysFiles({ authorizedKeysFiles: ['x'] }, { ...account, home: '/h/%u' }),
    ['/h/%u/x'],
  );
});

test('-C is checked', () => {
  for (const good of [
    'user=me',
    'user=me,host=h,addr=192.0.2.7,laddr=::1,lport=22,rdomain=,version=x',
    'invalid-user,user=',
  ]) {
    assert.ok(checkConnectionSpec(good).allowed, good);
  }
  for (const wrong of [
    '',
    'user',
    'foo=1',
    'lport=0',
    'lport=x',
    'addr=nowhere',
    'user=a,,',
    '__proto__=x',
  ]) {
    assert.ok(!checkConnectionSpec(wrong).allowed, wrong);
  }
});
