/** Logins with every key type by the stock client. Runs in: test, in the lab. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);

describe('a login with a key', lab, () => {
  let server: TestServer;
  const keys = [
    { name: 'ed25519', make: () => makeKey('ed25519'), algorithms: ['ssh-ed25519'] },
    { name: 'ecdsa 256', make: () => makeKey('ecdsa', 256), algorithms: ['ecdsa-sha2-nistp256'] },
    { name: 'ecdsa 384', make: () => makeKey('ecdsa', 384), algorithms: ['ecdsa-sha2-nistp384'] },
    { name: 'ecdsa 521', make: () => makeKey('ecdsa', 521), algorithms: ['ecdsa-sha2-nistp521'] },
    {
      name: 'rsa',
      make: () => makeKey('rsa', 2048),
      algorithms: ['rsa-sha2-256', 'rsa-sha2-512'],
    },
  ].map((row) => ({ ...row, key: row.make() }));

  before(async () => {
    makeUser('alice', { authorizedKeys: keys.map(({ key }) => key.line) });
    server = await startServer({
      hostKeys: ['ed25519', 'ecdsa', 'rsa'],
      config: ['UsePAM yes', 'LogLevel VERBOSE', 'HostKeyAlgorithms +ecdsa-*'],
    });
  });
  after(async () => await server?.stop());

  for (const { name, key, algorithms } of keys) {
    for (const algorithm of algorithms) {
      test(`${name} as ${algorithm}`, async () => {
        const outcome = await ssh(
          server,
          { key, args: ['-o', `PubkeyAcceptedAlgorithms=${algorithm}`] },
          'id -un',
        );
        assert.deepEqual([outcome.status, outcome.text], [0, 'alice\n'], outcome.stderr);
      });
    }
  }

  for (const algorithm of ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'rsa-sha2-256', 'rsa-sha2-512']) {
    test(`the server proves itself by ${algorithm}`, async () => {
      const key = keys[0]?.key as TestKey;
      const outcome = await ssh(
        server,
        { key, args: ['-o', `HostKeyAlgorithms=${algorithm}`] },
        'true',
      );
      assert.equal(outcome.status, 0, outcome.stderr);
    });
  }

  test('a key that is not in authorized_keys is refused', async () => {
    const outcome = await ssh(server, { key: makeKey('ed25519') }, 'true');
    assert.equal(outcome.status, 255);
    assert.match(outcome.stderr, /Permission denied \(publickey/);
  });

  test('the log names user, address, port, key type and fingerprint as sshd does', async () => {
    await server.logged(
      /Accepted publickey for alice from 127\.0\.0\.1 port \d+ ssh2: ED25519 SHA256:\S{43}/,
    );
    await server.logged(
      /Accepted publickey for alice from 127\.0\.0\.1 port \d+ ssh2: RSA SHA256:/,
    );
  });
});
