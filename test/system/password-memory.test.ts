/**
 * ThinLinc SSO kept passwords in its sessions. Here: once a login is through, no process of the server
 * has the word in its memory, its environment or its arguments any more. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { inLab, makeUser, setPassword } from '../support/lab.ts';
import { placesOf } from '../support/memory-places.ts';
import { RawSsh } from '../support/raw-ssh.ts';
import { serverKind, startServer, type TestServer } from '../support/server.ts';
import { keyboardInteractive, password } from '../support/userauth.ts';

const lab = inLab(import.meta.url);
describe('a password in memory', lab, () => {
  let server: TestServer;
  const secret = `canary-${randomBytes(12).toString('hex')}`;
  const wrong = `wrong-${randomBytes(12).toString('hex')}`;
  const words = [Buffer.from(secret), Buffer.from(wrong), Buffer.from(secret, 'utf16le')];

  before(async () => {
    makeUser('alice', { password: secret });
    setPassword('alice', secret);
    server = await startServer({
      config: ['UsePAM yes', 'KbdInteractiveAuthentication yes', 'MaxAuthTries 6'],
    });
  });
  after(async () => await server?.stop());

  const holders = (): readonly string[] =>
    server
      .processes()
      .flatMap(({ pid, title }) => placesOf(pid, words).map((place) => `${title}: ${place}`));

  test('ThinLinc SSO: the scan finds what is there (the test is right)', () => {
    assert.notEqual(placesOf(process.pid, words).length, 0);
  });

  for (const [method, logIn] of [
    ['password', async (client: RawSsh, word: string) => await password(client, 'alice', word)],
    [
      'keyboard-interactive',
      async (client: RawSsh, word: string) => await keyboardInteractive(client, 'alice', [word]),
    ],
  ] as const) {
    test(`ThinLinc SSO: no process has the word of ${method} when the login is through`, {
      skip: serverKind === 'sshd' ? 'sshd keeps it until its child ends' : false,
    }, async () => {
      using client = await RawSsh.shaken(server.port);
      await client.requestUserauth();
      assert.equal((await logIn(client, wrong)).outcome, 'refused');
      assert.equal((await logIn(client, secret)).outcome, 'accepted');
      assert.equal(await client.exec('id -un'), 'alice\n');
      // Buffers that are pooled are written over a moment later.
      let seen: readonly string[] = [];
      await eventually(
        'no process has it',
        () => {
          seen = holders();
          return seen.length === 0;
        },
        10_000,
      ).catch(() => assert.deepEqual(seen, []));
      assert.doesNotMatch(server.log(), new RegExp(`${secret}|${wrong}`));
    });
  }
});
