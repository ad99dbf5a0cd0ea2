/**
 * The key exchange of `sshdesk connect` with our server and with Debian's sshd: each method, cipher,
 * MAC and host key algorithm that both have, keys exchanged anew, and a server that cheats.
 * Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { login } from '../../src/cli/connect/login.ts';
import { readSettings, surroundings } from '../../src/cli/connect/settings.ts';
import { Terminal } from '../../src/cli/connect/terminal.ts';
import { wholeOffer } from '../../src/ssh/client/algorithm-options.ts';
import type { ClientOffer } from '../../src/ssh/client/agreement.ts';
import { ClientFailure } from '../../src/ssh/client/failure.ts';
import { ProgramStream } from '../../src/ssh/client/program-stream.ts';
import { openSession } from '../../src/ssh/client/session.ts';
import { hostKeyType } from '../../src/ssh/client/known-hosts.ts';
import { certify } from '../support/certificates.ts';
import { inLab, makeKey, makeUser, run, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';

const lab = inLab(import.meta.url);
/** Of the installed OpenSSH. */
const known = run('ssh', ['-Q', 'kex']).split('\n');
const notMade = /nistp(?:384|521)|^ecdsa.*cert/;
const isRsa = (name: string) => name.startsWith('rsa-');

/** Up to the login, which the caller ends; what the server has shown. */
async function exchange(port: number, offer: Partial<ClientOffer>): Promise<Buffer> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  let shown: Buffer = Buffer.alloc(0);
  const stop = new ClientFailure('usage', 'the exchange is over');
  const outcome = openSession({
    socket,
    offer: { ...wholeOffer, ...offer },
    async verifyHostKey(blob) {
      shown = blob;
      return true;
    },
    planUserauth: () => Promise.reject(stop),
    onBanner: () => undefined,
    handshakeTimeoutMs: 30_000,
    keepaliveIntervalMs: 0,
    keepaliveCountMax: 3,
  });
  await assert.rejects(outcome, (error) => {
    if (error !== stop) throw error;
    return true;
  });
  return shown;
}

for (const kind of ['sshdesk', 'sshd'] as const) {
  describe(`the client's key exchange with ${kind}`, lab, () => {
    let server: TestServer;
    let key: TestKey;
    before(async () => {
      key = makeKey('ed25519');
      makeUser(`bob${kind}`, { authorizedKeys: [key.line] });
      const authority = makeKey('ed25519');
      const certified = (type: 'ed25519' | 'rsa'): TestKey & { certificateFile: string } =>
        certify(authority, makeKey(type), { isHost: true, principals: 'localhost' });
      const keys = [certified('ed25519'), certified('rsa')];
      server = await startServer({
        kind,
        hostKeys: ['ecdsa'],
        config: [
          'UsePAM yes',
          'LogLevel DEBUG1',
          'RekeyLimit 2M',
          ...keys.flatMap(({ file, certificateFile }) => [
            `HostKey ${file}`,
            `HostCertificate ${certificateFile}`,
          ]),
          'KexAlgorithms +ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group14-sha256,diffie-hellman-group16-sha512,diffie-hellman-group18-sha512',
          'HostKeyAlgorithms +ecdsa-sha2-nistp256',
          'MACs +hmac-sha2-256,hmac-sha2-512',
        ],
      });
    });
    after(async () => await server?.stop());

    // OpenSSH has ML-KEM since 9.9.
    for (const kex of wholeOffer.kex.filter((name) => kind === 'sshdesk' || known.includes(name))) {
      test(kex, async () => {
        await exchange(server.port, { kex: [kex] });
      });
    }

    for (const hostKey of wholeOffer.hostKey.filter((name) => !notMade.test(name))) {
      test(`host key ${hostKey}`, async () => {
        const shown = hostKeyType(await exchange(server.port, { hostKey: [hostKey] }));
        const expected = isRsa(hostKey)
          ? hostKey.replace(/rsa-sha2-(?:256|512)/, 'ssh-rsa')
          : hostKey;
        assert.equal(shown, expected);
      });
    }

    test('ciphers and MACs', async () => {
      for (const cipher of wholeOffer.cipher) await exchange(server.port, { cipher: [cipher] });
      for (const mac of wholeOffer.mac) {
        await exchange(server.port, { cipher: ['aes128-ctr'], mac: [mac] });
      }
    });

    test('new keys again and again, while 16 MiB go there and back', async () => {
      const given = await readSettings(
        {
          target: `bob${kind}@127.0.0.1:${server.port}`,
          identityFiles: [key.file],
          port: undefined,
          user: undefined,
          options: [
            'UserKnownHostsFile=/dev/null',
            'StrictHostKeyChecking=no',
            'IdentityAgent=none',
          ],
          configFile: 'none',
          isBatch: true,
        },
        surroundings({}),
      );
      const signal = new AbortController().signal;
      const session = await login(given, new Terminal(process.stderr), signal);
      const logged = server.log().length;
      try {
        const program = await session.start({ is: 'exec', command: Buffer.from('cat') });
        const stream = new ProgramStream(program);
        const sent = randomBytes(16 * 1024 * 1024);
        stream.end(sent);
        const back = createHash('sha256');
        for await (const chunk of stream) back.update(chunk as Buffer);
        assert.equal(back.digest('hex'), createHash('sha256').update(sent).digest('hex'));
      } finally {
        await session.close();
      }
      const renewals = server.log().slice(logged).split('SSH2_MSG_NEWKEYS sent').length - 1;
      assert.ok(kind === 'sshdesk' || renewals >= 4, `${renewals} exchanges`);
    });

    test('with nothing in common the server is quoted', async () => {
      await assert.rejects(
        exchange(server.port, { kex: ['diffie-hellman-group1-sha1'] }),
        (error) => {
          assert.ok(error instanceof ClientFailure && error.kind === 'connection');
          assert.match(error.detail, /no matching key exchange method.*: .*curve25519-sha256,/);
          return true;
        },
      );
    });
  });
}
