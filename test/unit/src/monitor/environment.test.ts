import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildEnvironment, parseUserEnvironmentFile } from '../../../../src/monitor/environment.ts';

const endpoints = {
  remoteAddress: '192.0.2.1',
  remotePort: 1,
  localAddress: '192.0.2.2',
  localPort: 22,
};
const account = { user: 'alice', home: '/home/alice', shell: '/bin/sh', uid: 1000 };
const nothing = {
  client: [],
  account,
  usePam: true,
  timeZone: undefined,
  term: undefined,
  key: [],
  userFile: [],
  pam: [],
  set: [],
  endpoints,
  originalCommand: undefined,
} as const;

function built(sources: Partial<Parameters<typeof buildEnvironment>[0]>): Map<string, string> {
  return new Map(
    buildEnvironment({ ...nothing, ...sources }).map((line) => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}

test('a client cannot say who the user is, even with AcceptEnv *', () => {
  const environment = built({
    client: [
      ['USER', 'root'],
      ['HOME', '/'],
      ['LANG', 'C'],
    ],
  });
  assert.equal(environment.get('USER'), 'alice');
  assert.equal(environment.get('HOME'), '/home/alice');
  assert.equal(environment.get('LANG'), 'C');
});

test('PAM wins over the user file, sshd over PAM, and PAM does not name the connection', () => {
  const environment = built({
    userFile: [
      ['A', 'file'],
      ['B', 'file'],
      ['SSH_CLIENT', 'forged'],
    ],
    pam: ['A=pam', 'SSH_CONNECTION=forged', 'SSH_AUTH_INFO_0=x', 'no assignment'],
  });
  assert.equal(environment.get('A'), 'pam');
  assert.equal(environment.get('B'), 'file');
  assert.equal(environment.get('SSH_CLIENT'), '192.0.2.1 1 22');
  assert.equal(environment.get('SSH_CONNECTION'), '192.0.2.1 1 192.0.2.2 22');
  assert.equal(environment.has('SSH_AUTH_INFO_0'), false);
});

test('MAIL is set without PAM only, TERM and SSH_TTY with a terminal only', () => {
  assert.equal(built({}).has('MAIL'), false);
  assert.equal(built({ usePam: false }).get('MAIL'), '/var/mail/alice');
  assert.equal(built({}).has('TERM') || built({}).has('SSH_TTY'), false);
  assert.equal(built({ term: 'xterm' }).get('TERM'), 'xterm');
  assert.equal(built({ term: 'xterm' }).get('SSH_TTY'), '');
});

test('root has the sbin directories in its PATH', () => {
  assert.match(built({ account: { ...account, uid: 0 } }).get('PATH') ?? '', /sbin/);
  assert.doesNotMatch(built({}).get('PATH') ?? '', /sbin/);
});

test('comments and lines without = of ~/.ssh/environment are passed over', () => {
  assert.deepEqual(parseUserEnvironmentFile('# x=y\n  A=1\nnothing\n=2\nB=a=b\n'), [
    ['A', '1'],
    ['B', 'a=b'],
  ]);
});

test('display and agent are what forwarding made, unless the user’s file or PAM say otherwise, as in sshd', () => {
  const forwarded = { display: 'localhost:10.0', agentSocket: '/tmp/ssh-x/agent.1' };
  const environment = built({ ...forwarded, client: [['DISPLAY', 'forged:0']] });
  assert.equal(environment.get('DISPLAY'), 'localhost:10.0');
  assert.equal(environment.get('SSH_AUTH_SOCK'), '/tmp/ssh-x/agent.1');
  const over = built({ ...forwarded, userFile: [['DISPLAY', ':7']], pam: ['SSH_AUTH_SOCK=/own'] });
  assert.deepEqual([over.get('DISPLAY'), over.get('SSH_AUTH_SOCK')], [':7', '/own']);
  assert.equal(built({}).has('SSH_AUTH_SOCK'), false);
});

test('SetEnv beats the client, the user and PAM, but not what sshd itself sets', () => {
  const environment = built({
    client: [['A', 'client']],
    userFile: [['B', 'user']],
    pam: ['C=pam'],
    set: ['A', 'B', 'C', 'SSH_CLIENT'].map((name) => [name, 'set'] as const),
  });
  assert.deepEqual(
    ['A', 'B', 'C'].map((name) => environment.get(name)),
    ['set', 'set', 'set'],
  );
  assert.notEqual(environment.get('SSH_CLIENT'), 'set');
});
