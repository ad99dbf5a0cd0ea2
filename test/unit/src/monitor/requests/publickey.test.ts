/** What a refused key costs: the same orders to the leader, whoever is asked for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeaderClient } from '../../../../../pam/leader-client.ts';
import { Log } from '../../../../../src/audit/log.ts';
import type { AuthReply } from '../../../../../src/monitor/auth-reply.ts';
import { CommandPace } from '../../../../../src/monitor/failure-delay.ts';
import { KeyFiles } from '../../../../../src/monitor/key-files.ts';
import { authIs } from '../../../../../src/monitor/link.ts';
import type { AnyRow } from '../../../../../src/monitor/request-table.ts';
import { queryKey } from '../../../../../src/monitor/requests/publickey.ts';
import { userauthBegin } from '../../../../../src/monitor/requests/userauth-begin.ts';
import type { ServerConfig } from '../../../../../src/policy/config.ts';
import { serverDefaults } from '../../../../../src/policy/server-keywords.ts';
import { CallFailure } from '../../../../../src/ssh/wire/peer.ts';
import { Writer } from '../../../../../src/ssh/wire/writer.ts';
import { noCards, testConnection, testLogin } from '../../../../support/monitor-connection.ts';

const blob = new Writer().text('ssh-ed25519').string(Buffer.alloc(32, 7)).done();

/** The answer to a key that nobody has authorized, and which files the leader was asked for. */
async function asked(exists: boolean, read: () => { readonly is: 'absent' }) {
  const { connection } = testConnection();
  const files: string[] = [];
  let sleptMs = 0;
  const leader = {
    begin: async () => ({ ...testLogin().account, exists, home: '/home/x' }),
    beginPam: async () => {},
    readFile: async (path: string) => {
      files.push(path);
      return read();
    },
  };
  const config = {
    ...serverDefaults,
    ...{ trustedUserCaKeys: undefined, revokedKeys: undefined },
    ...{ authorizedKeysCommand: undefined, banner: undefined },
  } as unknown as ServerConfig;
  const host = {
    config,
    configFor: () => config,
    log: new Log({ write: () => {} }, 'QUIET'),
    cardsFor: () => noCards,
    isRootless: false,
    startLeader: async () => leader as unknown as LeaderClient,
    authenticated: () => assert.fail('a key that is nowhere opened a login'),
    cut: () => assert.fail('a connection was cut'),
    nowMs: () => 0,
    sleepMs: async (ms: number) => void (sleptMs += ms),
  };
  const ask = async (row: AnyRow, values: object): Promise<AuthReply> =>
    (await row.handle(connection, { connection: 1, ...values })).values as unknown as AuthReply;
  await ask(userauthBegin(host, false), { user: Buffer.from('x'), service: 'ssh-connection' });
  const place = {
    readMemfd: () => assert.fail('nothing was read'),
    keyFiles: new KeyFiles(),
    pace: new CommandPace(),
  };
  const query = { algorithm: 'ssh-ed25519', blob, hostKey: Buffer.alloc(0) };
  const { is } = await ask(queryKey(place), query);
  return { is, files, sleptMs };
}

test('for a name that nobody has the same files are looked for, and nothing waits', async () => {
  const absent = (): { readonly is: 'absent' } => ({ is: 'absent' });
  const known = await asked(true, absent);
  const unknown = await asked(false, absent);
  assert.equal(known.files.length, 2);
  assert.deepEqual(unknown, known);
  assert.deepEqual([unknown.is, unknown.sleptMs], [authIs.refused, 0]);
});

test('a leader that cannot become nobody is a refusal like another', async () => {
  const { is, files } = await asked(false, () => {
    throw new CallFailure(1, 'Operation not permitted');
  });
  assert.deepEqual([is, files.length], [authIs.refused, 1]);
});
