import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeaderClient, PamMessage } from '../../../../pam/leader-client.ts';
import { Log } from '../../../../src/audit/log.ts';
import { MonitorRefusal } from '../../../../src/base/errors.ts';
import type { AuthReply } from '../../../../src/monitor/auth-reply.ts';
import type { Connection, Login } from '../../../../src/monitor/connection.ts';
import { authIs } from '../../../../src/monitor/link.ts';
import type { AnyRow } from '../../../../src/monitor/request-table.ts';
import { checkPassword } from '../../../../src/monitor/requests/check-password.ts';
import { startKeyboardInteractive } from '../../../../src/monitor/requests/keyboard-interactive.ts';
import {
  gssapiMic,
  gssapiToken,
  startGssapi,
} from '../../../../src/monitor/requests/gssapi-with-mic.ts';
import { refuseMethod } from '../../../../src/monitor/requests/refuse-method.ts';
import { tryNone } from '../../../../src/monitor/requests/try-none.ts';
import { userauthBegin } from '../../../../src/monitor/requests/userauth-begin.ts';
import type { ServerConfig } from '../../../../src/policy/config.ts';
import { noCards, testConnection, testLogin } from '../../../support/monitor-connection.ts';

/** PAM asks for one password and takes `right`; a conversation waits for its answer. */
class Pam {
  readonly passwords: string[] = [];
  onPrompt: (messages: readonly PamMessage[]) => void = () => {};
  #answered = Promise.withResolvers<void>();

  async beginPam() {}
  async begin() {
    return testLogin().account;
  }
  async account() {
    return { returnCode: 0, newPasswordRequired: false, userChanged: false, messages: [] };
  }
  /** Names of those who were recorded as wrong. */
  readonly recorded: string[] = [];
  async recordFailure(user: Buffer, isWritten: boolean) {
    if (isWritten) {
      this.recorded.push(user.toString());
    }
  }
  async establish() {
    return testLogin().established;
  }
  /** Of GSSAPI: whose tokens are all good. */
  #isChecked = false;
  async gssStart() {
    this.#isChecked = false;
    return { verdict: 0, reason: '' };
  }
  async gssToken() {
    return { verdict: 1, token: Buffer.alloc(0), reason: '' };
  }
  async gssCheck() {
    this.#isChecked = true;
    return { verdict: 0, text: 'alice@TEST' };
  }
  async gssKeepTickets() {
    if (!this.#isChecked) {
      throw new Error('EPROTO');
    }
    return { verdict: 0, text: 'FILE:/tmp/krb5cc_1000_x' };
  }
  async authenticate({ mode, password }: { mode: number; password: Buffer }) {
    const given = password.toString();
    if (mode === 0) {
      this.#answered = Promise.withResolvers();
      this.onPrompt([{ style: 1, text: Buffer.from('Password: ') }]);
      await this.#answered.promise;
    }
    this.passwords.push(given);
    const returnCode = given === 'right' ? 0 : 7;
    return { returnCode, delayUs: 0, userChanged: false, messages: [] };
  }
  answer(): void {
    this.#answered.resolve();
  }
}

async function begun(
  authenticationMethods: readonly string[] = [],
  more: Partial<ServerConfig> = {},
) {
  const lines: string[] = [];
  const logins: Login[] = [];
  const log = new Log({ write: (_level, _prefix, line) => void lines.push(line) }, 'VERBOSE');
  const { connection } = testConnection(log);
  const pam = new Pam();
  const config = {
    usePam: true,
    maxAuthTries: 3,
    allowUsers: [],
    denyUsers: [],
    allowGroups: [],
    denyGroups: [],
    authenticationMethods,
    permitRootLogin: 'yes',
    pubkeyAuthentication: true,
    passwordAuthentication: true,
    kbdInteractiveAuthentication: true,
    gssapiAuthentication: true,
    gssapiDelegateCredentials: true,
    ...more,
  } as unknown as ServerConfig;
  const host = {
    config,
    configFor: () => config,
    cardsFor: () => noCards,
    isRootless: false,
    startLeader: async () => pam as unknown as LeaderClient,
    authenticated: (one: Connection, login: Login) => {
      one.phase = 'postauth';
      logins.push(login);
    },
    cut: () => assert.fail('a connection was cut'),
    nowMs: () => 0,
    sleepMs: async () => {},
  };
  const ask = async (row: AnyRow, values: object): Promise<AuthReply> =>
    (await row.handle(connection, { connection: 1, ...values })).values as unknown as AuthReply;
  const service = 'ssh-connection';
  await ask(userauthBegin(host, false), { user: Buffer.from('alice'), service });
  return { connection, pam, lines, logins, ask };
}

const password = (word: string) => ({ password: Buffer.from(word) });

test('after the last try the right password is not even tried', async () => {
  const { connection, pam, ask } = await begun();
  for (const expected of [authIs.refused, authIs.refused, authIs.disconnect]) {
    assert.equal((await ask(checkPassword(), password('wrong'))).is, expected);
  }
  await assert.rejects(ask(checkPassword(), password('right')), MonitorRefusal);
  assert.deepEqual(pam.passwords, ['wrong', 'wrong', 'wrong']);
  assert.equal(connection.phase, 'preauth');
});

test('a conversation that is left for another is a failed try', async () => {
  const { lines, ask } = await begun();
  const start = () => ask(startKeyboardInteractive(), { submethods: Buffer.alloc(0) });
  for (const expected of [authIs.prompt, authIs.prompt, authIs.prompt, authIs.disconnect]) {
    assert.equal((await start()).is, expected);
  }
  await assert.rejects(start(), MonitorRefusal);
  const failed = lines.filter((line) => line.startsWith('Failed keyboard-interactive/pam'));
  assert.equal(failed.length, 3);
});

test('a password is erased once the leader has it', async () => {
  const { ask } = await begun();
  const values = password('wrong');
  await ask(checkPassword(), values);
  assert.deepEqual(values.password, Buffer.alloc(5));
});

test('a method that is not there leaves no line, so its name cannot be the rest of one', async () => {
  const { lines, ask } = await begun();
  await ask(refuseMethod(), { method: 'password for root from 192.0.2.66 port 22 ssh2' });
  await ask(refuseMethod(), { method: 'hostbased' });
  assert.deepEqual(lines, []);
});

test('INCIDENTS 19: a worker that leaves a factor out gets nothing for it', async () => {
  const { connection, pam, ask } = await begun(['keyboard-interactive,password']);
  const early = await ask(checkPassword(), password('right'));
  assert.deepEqual([early.is, early.canContinue], [authIs.refused, ['keyboard-interactive']]);
  assert.deepEqual(pam.passwords, [], 'PAM was not even asked');
  assert.equal(connection.phase, 'preauth');
});

test('only the last factor of a list opens the login', async () => {
  const { connection, lines, ask } = await begun(['password,password,publickey', 'hostbased']);
  for (const next of ['password', 'publickey']) {
    const reply = await ask(checkPassword(), password('right'));
    assert.deepEqual([reply.is, reply.canContinue], [authIs.partial, [next]]);
    assert.equal(connection.phase, 'preauth');
  }
  assert.equal(lines.filter((line) => line.startsWith('Partial password for alice')).length, 2);
  assert.equal(lines.filter((line) => line.startsWith('Accepted')).length, 0);
});

test('lists that nothing can meet end the connection at its first request', async () => {
  const { lines, ask } = await begun(['hostbased']);
  await assert.rejects(ask(checkPassword(), password('right')), MonitorRefusal);
  assert.ok(lines.some((line) => line.startsWith('No AuthenticationMethods left')));
});

const kerberos = { mechanisms: [Buffer.from('06092a864886f712010202', 'hex')] };

test('an exchange that is left for an empty password was the last try', async () => {
  const { connection, pam, ask } = await begun([], { maxAuthTries: 1, permitEmptyPasswords: true });
  assert.equal((await ask(startGssapi(), kerberos)).is, authIs.mechanism);
  assert.equal((await ask(tryNone(), {})).is, authIs.refused);
  assert.deepEqual(pam.passwords, [], 'PAM was not even asked');
  assert.equal(connection.phase, 'preauth');
});

test('tickets of an exchange that another one has followed are not asked for', async () => {
  const { connection, logins, ask } = await begun([
    'gssapi-with-mic,gssapi-with-mic',
    'gssapi-with-mic,password',
  ]);
  connection.sessionId = Buffer.alloc(32);
  await ask(startGssapi(), kerberos);
  await ask(gssapiToken(), { token: Buffer.from('token') });
  assert.equal((await ask(gssapiMic(), { mic: Buffer.from('mic') })).is, authIs.partial);
  assert.equal((await ask(startGssapi(), kerberos)).is, authIs.mechanism);
  assert.equal((await ask(checkPassword(), password('right'))).is, authIs.accepted);
  assert.deepEqual((await logins[0]?.established)?.environment, []);
});
