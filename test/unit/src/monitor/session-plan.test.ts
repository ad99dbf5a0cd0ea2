import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  mayOpenDesktop,
  planSession,
  type SessionKind,
} from '../../../../src/monitor/session-plan.ts';
import { testConnection, testLogin } from '../../../support/monitor-connection.ts';

const subsystems = new Map([
  ['sftp', '/usr/lib/openssh/sftp-server -l INFO'],
  ['inner', 'internal-sftp -R'],
]);

function plan(
  login: ReturnType<typeof testLogin>,
  kind: SessionKind,
  command: string,
  withTerminal = false,
) {
  const session = testConnection().connection.openSession();
  if (withTerminal) {
    const none = Buffer.alloc(0);
    session.terminal = {
      term: none,
      columns: 0,
      rows: 0,
      widthPixels: 0,
      heightPixels: 0,
      modes: none,
    };
  }
  const planned = planSession(login, session, kind, Buffer.from(command), subsystems);
  return planned.is === 'program'
    ? {
        run: [planned.file, ...planned.arguments.map(String)],
        original: planned.originalCommand?.toString(),
        planned,
      }
    : planned;
}

test('a shell is a login shell, a command goes to the shell as it is', () => {
  assert.deepEqual(plan(testLogin(), 'shell', '')['run' as never], ['/bin/bash', '-bash']);
  assert.deepEqual(plan(testLogin(), 'exec', 'a "b"; c')['run' as never], [
    '/bin/bash',
    'bash',
    '-c',
    'a "b"; c',
  ]);
});

test('an account without a shell gets /bin/sh', () => {
  const login = testLogin();
  const bare = { ...login, account: { ...login.account, shell: '' } };
  assert.deepEqual(plan(bare, 'shell', '')['run' as never], ['/bin/sh', '-sh']);
});

test('a forced command replaces shell, command and subsystem; what was asked is told', () => {
  const login = testLogin({ grant: { forcedCommand: 'forced', forcedCommandSource: 'config' } });
  for (const [kind, command, original] of [
    ['shell', '', undefined],
    ['exec', 'rm x', 'rm x'],
    ['subsystem', 'sftp', '/usr/lib/openssh/sftp-server -l INFO'],
  ] as const) {
    const planned = plan(login, kind, command);
    assert.deepEqual(planned['run' as never], ['/bin/bash', 'bash', '-c', 'forced']);
    assert.equal(planned['original' as never], original);
  }
});

const sftpServer = '/usr/lib/openssh/sftp-server';

test('the configured command of a subsystem runs; one that is not configured is refused', () => {
  assert.deepEqual(plan(testLogin(), 'subsystem', 'sftp')['run' as never], [
    ...['/bin/bash', 'bash', '-c'],
    `${sftpServer} -l INFO`,
  ]);
  assert.equal(plan(testLogin(), 'subsystem', 'nothing')['is' as never], 'refused');
});

test('internal-sftp runs sftp-server with its flags and no shell; typed as a command it is a name', () => {
  const inner = plan(testLogin(), 'subsystem', 'inner');
  assert.deepEqual(inner['run' as never], [sftpServer, 'internal-sftp', '-R']);
  for (const forcedCommandSource of ['config', 'key-option'] as const) {
    const forcedCommand = 'internal-sftp \t-d  /in -u 027';
    const forced = testLogin({ grant: { forcedCommand, forcedCommandSource } });
    const planned = plan(forced, 'subsystem', 'sftp');
    const flags = ['-d', '/in', '-u', '027'];
    assert.deepEqual(planned['run' as never], [sftpServer, 'internal-sftp', ...flags]);
    assert.equal(planned['original' as never], `${sftpServer} -l INFO`);
    for (const kind of ['exec', 'shell'] as const) {
      assert.equal(plan(forced, kind, 'id')['is' as never], 'sftp-only');
    }
    assert.equal(plan(forced, 'subsystem', 'nothing')['is' as never], 'refused');
    assert.equal(plan(forced, 'subsystem', 'rfb')['is' as never], 'sftp-only');
  }
  const typed = plan(testLogin(), 'exec', 'internal-sftp -R');
  assert.deepEqual(typed['run' as never], ['/bin/bash', 'bash', '-c', 'internal-sftp -R']);
  const other = plan(
    testLogin({ grant: { forcedCommand: 'internal-sftpd', forcedCommandSource: 'config' } }),
    'exec',
    'id',
  );
  assert.deepEqual(other['run' as never], ['/bin/bash', 'bash', '-c', 'internal-sftpd']);
});

test('the desktop subsystems run inside, unless opening a desktop is not allowed', () => {
  assert.deepEqual(plan(testLogin(), 'subsystem', 'rfb'), { is: 'internal', name: 'rfb' });
  for (const login of [
    testLogin({ grant: { permitTty: false } }),
    testLogin({ hasNoSession: true }),
  ]) {
    assert.equal(plan(login, 'subsystem', 'rfb')['is' as never], 'refused');
  }
});

test('a forced command that is the desktop itself opens the desktop and nothing else', () => {
  const login = testLogin({ grant: { forcedCommand: 'rfb', forcedCommandSource: 'key-option' } });
  assert.deepEqual(plan(login, 'exec', 'id'), { is: 'internal', name: 'rfb' });
  assert.equal(mayOpenDesktop(login).allowed, true);
});

test('forced command, ChrootDirectory, no-pty, an expired password and a failed session refuse a desktop', () => {
  for (const login of [
    testLogin({ grant: { forcedCommand: 'x', forcedCommandSource: 'config' } }),
    testLogin({ grant: { chrootDirectory: '/' } }),
    testLogin({ grant: { permitTty: false } }),
    testLogin({ mustChangePassword: true }),
    testLogin({ hasNoSession: true }),
  ]) {
    assert.equal(mayOpenDesktop(login).allowed, false);
  }
});

test('an expired password runs passwd on a terminal, and nothing without one', () => {
  const login = testLogin({ mustChangePassword: true });
  assert.deepEqual(plan(login, 'exec', 'id', true)['run' as never], ['/usr/bin/passwd', 'passwd']);
  assert.deepEqual(plan(login, 'exec', 'id'), {
    is: 'told',
    text: 'WARNING: Your password has expired.\nPassword change required but no TTY available.\n',
    status: 1,
  });
});
