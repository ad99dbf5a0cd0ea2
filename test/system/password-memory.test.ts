/**
 * ThinLinc SSO kept passwords in its sessions. Here: once a login is through, no process of the server
 * has the word in its memory, its environment or its arguments any more. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import {
  greetRfb,
  listDesktops,
  openSubsystem,
  startDesktopServer,
} from '../support/desktop-session.ts';
import { inLab, makeKey, makeUser, setPassword, type TestKey } from '../support/lab.ts';
import { placesOf } from '../support/memory-places.ts';
import { RawSsh } from '../support/raw-ssh.ts';
import { DialogueClient } from '../support/reauthentication.ts';
import { serverKind, startServer, type TestServer } from '../support/server.ts';
import { keyboardInteractive, password } from '../support/userauth.ts';

const lab = inLab(import.meta.url);
describe('a password in memory', lab, () => {
  let server: TestServer;
  const secret = `canary-${randomBytes(12).toString('hex')}`;
  const wrong = `wrong-${randomBytes(12).toString('hex')}`;
  const words = [Buffer.from(secret), Buffer.from(wrong), Buffer.from(secret, 'utf16le')];

  let key: TestKey;
  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { password: secret, authorizedKeys: [key.line] });
    setPassword('alice', secret);
    const config = ['KbdInteractiveAuthentication yes', 'MaxAuthTries 6'];
    server =
      serverKind === 'sshd'
        ? await startServer({ config: ['UsePAM yes', ...config] })
        : await startDesktopServer('exec xterm', { config, desktops: ['DesktopReauth resume'] });
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
      await forgotten();
    });
  }

  test('nor what was answered to have a desktop resumed, when it is', {
    skip: serverKind === 'sshd' ? 'no desktops there' : false,
  }, async () => {
    const first = openSubsystem(server, 'rfb', { user: 'alice', key });
    await greetRfb(first);
    first.child.stdin.end();
    await first.status;
    const id = listDesktops()[0]?.id ?? '';
    using client = await DialogueClient.open(server, { user: 'alice', key });
    for (const [word, code] of [
      [wrong, 404],
      [secret, 710],
    ] as const) {
      const last = (await client.restore(id, [word])).at(-1);
      assert.ok(last?.is === 'reply' && last.text.includes(`NX> ${code} `));
    }
    await forgotten();
  });

  /** Buffers that are pooled are written over a moment later. */
  async function forgotten(): Promise<void> {
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
  }
});
