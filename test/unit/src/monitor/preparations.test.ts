/** What runs in front of a session's program, and what never stands in an argument. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { X11Display } from '../../../../src/monitor/connection.ts';
import { preparationsFor, undoFor } from '../../../../src/monitor/preparations.ts';
import { testLogin } from '../../../support/monitor-connection.ts';

const x11: X11Display = {
  display: 10,
  name: 'localhost:10.0',
  authorityName: 'unix:10.0',
  protocol: 'MIT-MAGIC-COOKIE-1',
  cookie: 'c0ffee',
};
const xauth = '/usr/bin/xauth';

function shown(preparations: ReturnType<typeof preparationsFor>): readonly unknown[] {
  return preparations.map((one) => [
    one.exists,
    one.file,
    one.arguments.map(String),
    one.input.toString(),
  ]);
}

const user = [
  '/home/alice/.ssh/rc',
  '/bin/bash',
  ['/bin/bash', '-c', '/bin/sh /home/alice/.ssh/rc'],
];
const system = ['/etc/ssh/sshrc', '/bin/sh', ['/bin/sh', '/etc/ssh/sshrc']];

test('a shell or command: the user’s, else the system’s; without X11 they are given nothing', () => {
  for (const kind of ['shell', 'exec'] as const) {
    assert.deepEqual(shown(preparationsFor(testLogin(), kind, undefined, xauth)), [
      [...user, ''],
      [...system, ''],
    ]);
  }
});

test('with X11 all of them are given the cookie on stdin, and it stands in no argument', () => {
  const found = preparationsFor(testLogin(), 'exec', x11, xauth);
  const line = 'MIT-MAGIC-COOKIE-1 c0ffee\n';
  assert.deepEqual(shown(found), [
    [...user, line],
    [...system, line],
    ['', xauth, [xauth, '-q', '-'], `remove unix:10.0\nadd unix:10.0 ${line}`],
  ]);
  for (const { file, exists, arguments: words } of found) {
    assert.ok(![file, exists, ...words.map(String)].some((word) => word.includes('c0ffee')));
  }
});

test('not the user’s for a subsystem, ForceCommand, and where it is not permitted', () => {
  const rows = [
    [testLogin(), 'subsystem'],
    [testLogin({ grant: { forcedCommand: 'x', forcedCommandSource: 'config' } }), 'exec'],
    [testLogin({ grant: { permitUserRc: false } }), 'shell'],
  ] as const;
  for (const [login, kind] of rows) {
    assert.deepEqual(shown(preparationsFor(login, kind, undefined, xauth)), [[...system, '']]);
  }
  const byKey = testLogin({ grant: { forcedCommand: 'x', forcedCommandSource: 'key-option' } });
  assert.equal(preparationsFor(byKey, 'exec', undefined, xauth).length, 2);
});

test('in front of passwd, for an expired password, nothing runs', () => {
  const login = testLogin({ mustChangePassword: true });
  assert.deepEqual(preparationsFor(login, 'shell', x11, xauth), []);
});

test('a home with odd characters is one word for the shell, and an empty shell is /bin/sh', () => {
  const { account } = testLogin();
  const login = testLogin({ account: { ...account, home: "/home/a b'$(id)", shell: '' } });
  const [first] = shown(preparationsFor(login, 'shell', undefined, xauth));
  const quoted = `/bin/sh '/home/a b'\\''$(id)/.ssh/rc'`;
  assert.deepEqual(first, ["/home/a b'$(id)/.ssh/rc", '/bin/sh', ['/bin/sh', '-c', quoted], '']);
});

test('the undo removes the entry in the environment that it was made in', () => {
  const environment = [Buffer.from('XAUTHORITY=/x')];
  const undo = undoFor(x11, xauth, environment);
  assert.deepEqual(
    [undo.display, undo.file, undo.arguments.map(String), undo.input.toString(), undo.environment],
    [10, xauth, [xauth, '-q', '-'], 'remove unix:10.0\n', environment],
  );
});
