import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeaderClient } from '../../../../../pam/leader-client.ts';
import type { Connection } from '../../../../../src/monitor/connection.ts';
import { startedAs } from '../../../../../src/monitor/link.ts';
import { sessionOpen } from '../../../../../src/monitor/requests/session-open.ts';
import { sessionStart } from '../../../../../src/monitor/requests/session-start.ts';
import type { ServerConfig } from '../../../../../src/policy/config.ts';
import { CallFailure } from '../../../../../src/ssh/wire/peer.ts';
import { testConnection, testLogin } from '../../../../support/monitor-connection.ts';

const start = sessionStart({
  config: { usePam: true } as unknown as ServerConfig,
  readMemfd: () => Buffer.alloc(0),
});

function loggedIn(maxSessions: number) {
  const { connection, notices } = testConnection();
  let spawned = 0;
  const leader = {
    spawn: async () => ({ handle: ++spawned, pid: 1, tty: '', descriptors: [] }),
  } as unknown as LeaderClient;
  connection.phase = 'postauth';
  connection.login = testLogin({ leader, grant: { maxSessions } });
  return { connection, notices, spawnedCount: () => spawned };
}

async function open(connection: Connection): Promise<number> {
  const { values } = await sessionOpen().handle(connection, { connection: 1 });
  return values.session as number;
}

async function run(connection: Connection, session: number): Promise<number> {
  const command = Buffer.from('true');
  const { values } = await start.handle(connection, {
    connection: 1,
    session,
    kind: 'exec',
    command,
  });
  return values.is as number;
}

test('two starts of one session at once run one program', async () => {
  const { connection, spawnedCount } = loggedIn(10);
  const session = await open(connection);
  const answers = await Promise.all([run(connection, session), run(connection, session)]);
  assert.deepEqual(answers, [startedAs.process, startedAs.refused]);
  assert.equal(spawnedCount(), 1);
});

test('a closed session counts for MaxSessions until its process has ended', async () => {
  const { connection, notices } = loggedIn(1);
  const session = await open(connection);
  await run(connection, session);
  assert.equal(connection.closeSession(session), true);
  assert.equal(connection.closeSession(session), false);
  await assert.rejects(open(connection), CallFailure);
  connection.exited({ handle: 1, status: 0, signal: 0, coreDumped: false });
  assert.deepEqual(notices, []);
  assert.equal(await open(connection), 2);
});

test('a session that is closed while it starts counts as well', async () => {
  const { connection } = loggedIn(1);
  const session = await open(connection);
  const starting = run(connection, session);
  connection.closeSession(session);
  await assert.rejects(open(connection), CallFailure);
  await starting;
  await assert.rejects(open(connection), CallFailure);
  connection.exited({ handle: 1, status: 0, signal: 0, coreDumped: false });
  assert.equal(await open(connection), 2);
});
