/**
 * The account `nx`: a shared key, a login inside the channel, and a desktop of the user who has logged
 * in; who gets in by what. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { finishRfb, listDesktops, startDesktopServer } from '../support/desktop-session.ts';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import {
  loginEcho,
  loginLines,
  nxRefused,
  openHandshake,
  startNxServer,
} from '../support/nx-account.ts';
import type { TestServer } from '../support/server.ts';
import { type ClientOutcome, ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 110_000);
const secret = 'oldpw-Xy7';
const welcome = (user: string) => `**********\nNX> 103 Welcome to: host user: ${user}\nNX> 105 `;

describe('the account nx', lab, () => {
  let key: TestKey;
  let other: TestKey;
  let server: TestServer;

  before(async () => {
    key = makeKey('ed25519');
    other = makeKey('ed25519');
    makeUser('alice', { password: secret });
    server = await startNxServer([key.line], { config: ['LogLevel VERBOSE'] });
  });
  after(async () => await server?.stop());

  function talk(input: string, more: { readonly key?: TestKey } = {}): Promise<ClientOutcome> {
    return ssh(server, { user: 'nx', key, input, ...more });
  }

  test('key, dialogue, login of a real user, startsession, bye, RFB', async () => {
    const client = openHandshake(server, { key });
    const { child, incoming } = client;
    child.stdin.write(loginLines('alice', secret));
    assert.equal(
      await incoming.takeTo('user: alice\nNX> 105 '),
      loginEcho('alice') + welcome('alice'),
    );
    child.stdin.write(
      'startsession --session="old" --type="unix-desktop" --protocol="rfb" --encryption="1"\n',
    );
    await incoming.takeTo('NX> 710 Session status: running\n');
    child.stdin.write('bye\n');
    await incoming.takeTo('Bye\nNX> 999 Bye.\nRFB 003.008\n');
    assert.deepEqual(await finishRfb(client, 'RFB 003.008\n'), { width: 1280, height: 800 });
    assert.deepEqual(
      listDesktops().map(({ owner, name }) => ({ owner, name })),
      [{ owner: 'alice', name: 'old' }],
    );
    child.stdin.end();
    await client.status;
    assert.match(server.log(), /Key of nx from 127\.0\.0\.1 port \d+ accepted: ED25519 SHA256:/);
    assert.match(server.log(), /Accepted password for alice from 127\.0\.0\.1 port \d+ ssh2/);
  });

  test('quit after a login; the desktops are those of the subsystem', async () => {
    const { text, status, stderr } = await talk(
      `${loginLines('alice', secret)}terminate --sessionid="old"\nquit\n`,
    );
    const rest = text.slice((loginEcho('alice') + welcome('alice')).length);
    assert.match(
      rest,
      /^Terminate --sessionid="old"\nNX> 900 Session id: [0-9A-F]{32} terminated\.\nNX> 105 Quit\nNX> 999 Bye\n$/,
    );
    assert.equal(stderr, '');
    assert.equal(status, 0);
  });

  test('one attempt: 404, 999, and the end of the connection', async () => {
    const { text, status, stderr } = await talk(loginLines('alice', 'wrong'));
    assert.equal(stderr, '');
    assert.equal(text, loginEcho('alice') + nxRefused);
    assert.equal(status, 0);
    assert.match(server.log(), /Failed password for alice from 127\.0\.0\.1 port \d+ ssh2/);
  });

  test('the protocol of old clients where there is no engine for it: 596, 500, a prompt', async () => {
    const { text } = await talk(
      `${loginLines('alice', secret)}startsession --session="x" --type="unix-kde" --protocol="none"\nquit\n`,
    );
    assert.match(
      text,
      /NX> 596 Error: Protocol none is not supported\.\nNX> 500 ERROR: Last operation failed\.\nNX> 105 /,
    );
  });

  test('another key is refused, and so is everything that is no key', async () => {
    const stranger = await talk('', { key: other });
    assert.equal(stranger.status, 255);
    assert.match(stranger.stderr, /Permission denied \(publickey\)/);
    assert.match(server.log(), /Failed publickey for nx from 127\.0\.0\.1 port \d+ ssh2: ED25519/);
  });

  test('without NXLegacyAccount nx is a name like any other', async () => {
    await using plain = await startDesktopServer(undefined);
    const { status, stderr } = await ssh(plain, { user: 'nx', key, input: '' });
    assert.equal(status, 255);
    assert.match(stderr, /Permission denied/);
    await plain.logged(/Invalid user nx from/);
  });
});
