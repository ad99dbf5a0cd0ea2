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

const lines = (...texts: readonly string[]) => texts.map((text) => Buffer.from(text));

function built(sources: Partial<Parameters<typeof buildEnvironment>[0]>): Map<string, string> {
  return new Map(
    buildEnvironment({ ...nothing, ...sources }).map((entry) => {
      const line = entry.toString();
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
    pam: lines('A=pam', 'SSH_CONNECTION=forged', 'SSH_AUTH_INFO_0=x', 'no assignment'),
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
  assert.equal(built({ term: Buffer.from('xterm') }).get('TERM'), 'xterm');
  assert.equal(built({ term: Buffer.from('xterm') }).get('SSH_TTY'), '');
});

test('root has the sbin directories in its PATH', () => {
  assert.match(built({ account: { ...account, uid: 0 } }).get('PATH') ?? '', /sbin/);
  assert.doesNotMatch(built({}).get('PATH') ?? '', /sbin/);
});

test('comments of ~/.ssh/environment are passed over, lines without = are told', () => {
  const file = '# x=y\n  A=1\nnothing\n=2\n\n\t\nB=a=b\nC=\xe9\nD=cut\0 off';
  assert.deepEqual(parseUserEnvironmentFile(Buffer.from(file, 'latin1')), {
    variables: [
      ['A', Buffer.from('1')],
      ['B', Buffer.from('a=b')],
      ['C', Buffer.from([0xe9])],
      ['D', Buffer.from('cut')],
    ],
    badLines: [3],
    isTooLong: false,
  });
});

test('~/.ssh/environment of 1000 lines is read, of 1001 is too long', () => {
  assert.equal(parseUserEnvironmentFile(Buffer.from('#\n'.repeat(1000))).isTooLong, false);
  assert.equal(parseUserEnvironmentFile(Buffer.from('#\n'.repeat(1001))).isTooLong, true);
});

test('values are bytes of any encoding', () => {
  const [entry] = buildEnvironment({ ...nothing, client: [['LANG', Buffer.from([0xe9, 0xff])]] });
  assert.deepEqual(entry, Buffer.from('LANG=\xe9\xff', 'latin1'));
});

test('display and agent are what forwarding made, unless the user’s file or PAM say otherwise, as in sshd', () => {
  const forwarded = { display: 'localhost:10.0', agentSocket: '/tmp/ssh-x/agent.1' };
  const environment = built({ ...forwarded, client: [['DISPLAY', 'forged:0']] });
  assert.equal(environment.get('DISPLAY'), 'localhost:10.0');
  assert.equal(environment.get('SSH_AUTH_SOCK'), '/tmp/ssh-x/agent.1');
  const over = built({
    ...forwarded,
    userFile: [['DISPLAY', ':7']],
    pam: lines('SSH_AUTH_SOCK=/own'),
  });
  assert.deepEqual([over.get('DISPLAY'), over.get('SSH_AUTH_SOCK')], [':7', '/own']);
  assert.equal(built({}).has('SSH_AUTH_SOCK'), false);
});

test('SetEnv beats the client, the user and PAM, but not what sshd itself sets', () => {
  const environment = built({
    client: [['A', 'client']],
    userFile: [['B', 'user']],
    pam: lines('C=pam'),
    set: ['A', 'B', 'C', 'SSH_CLIENT'].map((name) => [name, 'set'] as const),
  });
  assert.deepEqual(
    ['A', 'B', 'C'].map((name) => environment.get(name)),
    ['set', 'set', 'set'],
  );
  assert.notEqual(environment.get('SSH_CLIENT'), 'set');
});
