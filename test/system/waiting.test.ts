/**
 * Two hundred logins that PAM keeps waiting, and one by key that does not notice: what counts is the
 * order in which they end, not the time. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { inLab, makeUser, writePamService } from '../support/lab.ts';
import { makeRawKey, payload, RawSsh, str, u32 } from '../support/raw-ssh.ts';
import { readProcFile, startServer, type TestServer } from '../support/server.ts';

const lab = inLab(import.meta.url, 170_000);
const each = 100;
const atOnce = 10;

describe('logins that PAM keeps waiting', lab, () => {
  const key = makeRawKey();
  let server: TestServer;
  const clients: RawSsh[] = [];

  before(async () => {
    for (const name of ['asked', 'hung', 'alice']) {
      makeUser(name, { authorizedKeys: [key.line] });
    }
    for (const [name, auth] of [
      ['asks', 'ask=password'],
      ['hangs', 'ask=password die=auth:hang'],
    ] as const) {
      writePamService(name, [
        `auth required @lab ${auth}`,
        'account required pam_permit.so',
        'session required pam_permit.so',
      ]);
    }
    server = await startServer({
      config: [
        ...['UsePAM yes', 'KbdInteractiveAuthentication yes', 'PAMServiceName asks'],
        ...['MaxStartups 500', 'LoginGraceTime 600', 'PerSourcePenalties no'],
        ...['Match User hung', 'PAMServiceName hangs'],
      ],
    });
  });
  after(async () => {
    for (const client of clients) {
      client.close();
    }
    await server?.stop();
  });

  const start = async (user: string): Promise<RawSsh> => {
    const client = await RawSsh.shaken(server.port);
    clients.push(client);
    await client.requestUserauth();
    const method = str('keyboard-interactive');
    client.send(payload(50, str(user), str('ssh-connection'), method, str(''), str('')));
    return client;
  };
  const startAll = async (user: string, begun: (client: RawSsh) => Promise<void>) => {
    let left = each;
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        while (left-- > 0) {
          await begun(await start(user));
        }
      }),
    );
  };
  /** Leaders in a module that has blocked every signal. */
  const hanging = (): number =>
    server.processes().filter(({ pid }) => /^SigBlk:\s*fffffff/m.test(readProcFile(pid, 'status')))
      .length;

  test('one by key is in while all of them still wait; each of them is let in then', async () => {
    const asked: RawSsh[] = [];
    await startAll('asked', async (client) => {
      assert.equal((await client.nextOf(51, 60))[0], 60, 'a question');
      asked.push(client);
    });
    const over: string[] = [];
    await startAll('hung', async (client) => {
      void client.next(600_000).then(
        () => over.push('hung'),
        () => over.push('hung'),
      );
    });
    await eventually('all of the others hang', () => hanging() === each, 30_000);
    for (let logins = 0; logins < 3; logins++) {
      using alice = await RawSsh.loggedIn(server.port, 'alice', key);
      assert.equal(await alice.exec('id -un'), 'alice\n');
      over.push('alice');
    }
    assert.deepEqual(over, ['alice', 'alice', 'alice']);
    assert.equal(hanging(), each);
    // Nobody was forgotten.
    await Promise.all(
      asked.map(async (client) => {
        client.send(payload(61, u32(1), str('secret')));
        assert.equal((await client.nextOf(51, 52))[0], 52);
      }),
    );
    assert.equal(over.includes('hung'), false);
  });
});
