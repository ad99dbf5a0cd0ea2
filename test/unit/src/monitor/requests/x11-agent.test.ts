/** `x11-forward` and `agent-forward`, asked by a worker that may be anybody's. */
import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { test } from 'node:test';
import type { LeaderClient } from '../../../../../pam/leader-client.ts';
import { Log } from '../../../../../src/audit/log.ts';
import { MonitorRefusal } from '../../../../../src/base/errors.ts';
import type { Session } from '../../../../../src/monitor/connection.ts';
import { agentForward } from '../../../../../src/monitor/requests/agent-forward.ts';
import { isAuthorization, x11Forward } from '../../../../../src/monitor/requests/x11-forward.ts';
import type { ServerConfig } from '../../../../../src/policy/config.ts';
import type { Grant } from '../../../../../src/policy/grant.ts';
import { CallFailure } from '../../../../../src/ssh/wire/peer.ts';
import { testConnection, testLogin } from '../../../../support/monitor-connection.ts';

const config = {
  x11DisplayOffset: 10,
  x11UseLocalhost: true,
  addressFamily: 'any',
  xauthLocation: '/usr/bin/xauth',
} as unknown as ServerConfig;
const name = Buffer.from('MIT-MAGIC-COOKIE-1');
const cookie = Buffer.from('00'.repeat(16));

function loggedIn(grant: Partial<Grant> = {}, settings: Partial<ServerConfig> = {}) {
  const lines: string[] = [];
  const log = new Log({ write: (_level, _prefix, line) => void lines.push(line) }, 'INFO');
  const { connection, notices } = testConnection(log);
  const orders: unknown[][] = [];
  const state = { fails: false };
  const answer =
    <T>(order: string, value: T) =>
    async (...values: unknown[]): Promise<T> => {
      orders.push([order, ...values]);
      if (state.fails) {
        throw new CallFailure(98, 'Address already in use');
      }
      return value;
    };
  const leader = {
    agentListen: answer('agent-listen', { path: '/tmp/ssh-x/agent.1', descriptor: 5 }),
    x11Listen: answer('x11-listen', { display: 12, descriptors: [6, 7] }),
    x11Close: answer('x11-close', undefined),
  } as unknown as LeaderClient;
  connection.phase = 'postauth';
  connection.login = testLogin({ leader, grant, config: { ...config, ...settings } });
  const x11Row = x11Forward();
  const agentRow = agentForward();
  const x11 = (session: number, more: object = {}) =>
    x11Row.handle(connection, {
      connection: 1,
      session,
      singleConnection: false,
      authProtocol: name,
      authData: cookie,
      screen: 0,
      ...more,
    });
  const agent = (session: number) => agentRow.handle(connection, { connection: 1, session });
  return { connection, notices, orders, state, x11, agent, lines };
}

test('an authorization is a name and hexadecimal digits in pairs, both bounded', () => {
  const good: readonly (readonly [string, string])[] = [
    ['MIT-MAGIC-COOKIE-1', '00ffAB'],
    ['XDM-AUTHORIZATION-1', 'ab'.repeat(128)],
    ['a.b:c/d-e_f', '00'],
  ];
  const bad: readonly (readonly [string, string])[] = [
    ['', '00'],
    ['MIT', ''],
    ['MIT', '0'],
    ['MIT', 'zz'],
    ['MIT', '00\n'],
    ['MIT\n', '00'],
    ['MIT\nremove :0', '00'],
    ['MIT "', '00'],
    ['MIT 1', '00'],
    ['MIT\0', '00'],
    ['MIT', '00\0'],
    ['MIT', '0 0'],
    ['MIT;id', '00'],
    ['MIT', '$(id)'],
    ['é', '00'],
    ['M'.repeat(65), '00'],
    ['MIT', 'ab'.repeat(129)],
  ];
  for (const [protocol, data] of good) {
    assert.ok(isAuthorization(Buffer.from(protocol), Buffer.from(data)), protocol);
  }
  for (const [protocol, data] of bad) {
    assert.ok(!isAuthorization(Buffer.from(protocol), Buffer.from(data)), `${protocol} ${data}`);
  }
});

test('no byte but those of names and digits gets into what xauth reads', () => {
  for (let value = 0; value < 256; value++) {
    const character = String.fromCharCode(value);
    const one = Buffer.of(value);
    assert.equal(isAuthorization(one, cookie), /[A-Za-z0-9.:/_-]/.test(character), `${value}`);
    const pair = Buffer.of(value, 0x30);
    assert.equal(isAuthorization(name, pair), /[0-9A-Fa-f]/.test(character), `${value}`);
  }
});

test('a display is ordered by the configuration, and DISPLAY follows from its number', async () => {
  const { connection, orders, x11 } = loggedIn();
  const session = connection.openSession();
  const { values, descriptors } = await x11(session.number, { screen: 3 });
  assert.deepEqual([values, descriptors], [{ allowed: true }, [6, 7]]);
  const order = {
    offset: 10,
    loopbackOnly: true,
    family: 0,
    keepsNumber: true,
    xauth: '/usr/bin/xauth',
  };
  assert.deepEqual(orders, [['x11-listen', order]]);
  assert.deepEqual(session.x11, {
    display: 12,
    name: 'localhost:12.3',
    authorityName: 'unix:12.3',
    protocol: name.toString(),
    cookie: cookie.toString(),
  });
});

test('X11UseLocalhost no: the name of the host', async () => {
  const { connection, x11 } = loggedIn({}, { x11UseLocalhost: false });
  const session = connection.openSession();
  await x11(session.number);
  const display = session.x11 as Exclude<Session['x11'], 'opening' | undefined>;
  assert.deepEqual(
    [display.name, display.authorityName],
    [`${hostname()}:12.0`, `${hostname()}:12.0`],
  );
});

test('refused without an order: key or configuration, no xauth, bad fields, a session that has started', async () => {
  const rows: readonly (readonly [Partial<Grant>, Partial<ServerConfig>, object])[] = [
    [{ permitX11Forwarding: false }, {}, {}],
    [{}, { xauthLocation: undefined as never }, {}],
    [{}, {}, { authProtocol: Buffer.from('MIT\nadd') }],
    [{}, {}, { authData: Buffer.from('0') }],
  ];
  for (const [grant, settings, fields] of rows) {
    const { connection, orders, x11 } = loggedIn(grant, settings);
    const session = connection.openSession();
    assert.deepEqual((await x11(session.number, fields)).values, { allowed: false });
    assert.deepEqual([orders, session.x11], [[], undefined]);
  }
  const { connection, orders, x11, agent } = loggedIn();
  const session = connection.openSession();
  session.startedAs = 'process';
  assert.deepEqual((await x11(session.number)).values, { allowed: false });
  assert.deepEqual((await agent(session.number)).values, { allowed: false });
  assert.deepEqual(orders, []);
});

test('one display per session, also when asked for twice at once', async () => {
  const { connection, orders, x11, lines } = loggedIn();
  const { number } = connection.openSession();
  const answers = await Promise.all([x11(number), x11(number), x11(number)]);
  assert.deepEqual(
    answers.map(({ values }) => values.allowed),
    [true, false, false],
  );
  assert.equal(orders.length, 1);
  assert.match(lines.join('\n'), /session 1: x11 forwarding already active/);
});

test('a leader that cannot is a refusal; the session may ask again', async () => {
  const { connection, state, x11, agent, lines } = loggedIn();
  const { number } = connection.openSession();
  state.fails = true;
  assert.deepEqual((await x11(number)).values, { allowed: false });
  assert.deepEqual((await agent(number)).values, { allowed: false });
  assert.match(lines.join('\n'), /Agent forwarding disabled: Address already in use/);
  state.fails = false;
  assert.deepEqual((await x11(number)).values, { allowed: true });
  assert.deepEqual((await agent(number)).values, { allowed: true });
});

test('a display ends with its session, not before its process has ended', async () => {
  const { connection, notices, orders, x11 } = loggedIn();
  const session = connection.openSession();
  await x11(session.number);
  connection.assignHandle(session, 9);
  connection.closeSession(session.number);
  assert.deepEqual(notices, []);
  connection.exited({ handle: 9, status: 0, signal: 0, coreDumped: false });
  assert.deepEqual(notices, [['x11End', 1, 1]]);
  assert.deepEqual(orders.at(-1), ['x11-close', 12]);
  assert.equal(connection.sessions.size, 0);
});

test('a session that is closed while its display is made takes the display with it', async () => {
  const { connection, notices, orders, x11 } = loggedIn();
  const session = connection.openSession();
  const asked = x11(session.number);
  connection.closeSession(session.number);
  assert.equal(connection.sessions.size, 1, 'it counts until then');
  await asked;
  assert.deepEqual(notices, [['x11End', 1, 1]]);
  assert.deepEqual(orders.at(-1), ['x11-close', 12]);
  assert.equal(connection.sessions.size, 0);
});

test('a session of nobody, or one that is closed, is an offence', async () => {
  const { connection, x11, agent } = loggedIn();
  await assert.rejects(async () => await x11(1), MonitorRefusal);
  await assert.rejects(async () => await agent(1), MonitorRefusal);
  const { number } = connection.openSession();
  connection.closeSession(number);
  await assert.rejects(async () => await x11(number), MonitorRefusal);
  await assert.rejects(async () => await agent(number), MonitorRefusal);
});

test('one agent per connection, whatever session asks', async () => {
  const { connection, orders, agent } = loggedIn();
  const first = connection.openSession();
  const second = connection.openSession();
  const { values, descriptors } = await agent(first.number);
  assert.deepEqual([values, descriptors], [{ allowed: true }, [5]]);
  assert.equal(connection.agentSocket, '/tmp/ssh-x/agent.1');
  assert.deepEqual((await agent(second.number)).values, { allowed: false });
  assert.equal(orders.length, 1);
});

test('no agent where key or configuration forbid it, or there is no PAM session', async () => {
  const { connection, orders, agent } = loggedIn({ permitAgentForwarding: false });
  assert.deepEqual((await agent(connection.openSession().number)).values, { allowed: false });
  assert.deepEqual(orders, []);
  const without = loggedIn();
  Object.assign(without.connection.login as object, { hasNoSession: true });
  const { number } = without.connection.openSession();
  assert.deepEqual((await without.agent(number)).values, { allowed: false });
  assert.deepEqual((await without.x11(number)).values, { allowed: false });
  assert.deepEqual(without.orders, []);
});
