/**
 * Requests of the method publickey that no stock client sends, with everything signed as it should be
 * but for one thing. Expectations hold for Debian's sshd as well (SSHDESK_TEST_SERVER=sshd), where a
 * test does not say otherwise. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { generateKey } from '../../keys/keygen.ts';
import { publicLine } from '../../keys/public-key.ts';
import { blobOf } from '../support/certificates.ts';
import { FidoKey } from '../support/fido.ts';
import { authorityOf, forge, type ForgedFields } from '../support/forged-certificate.ts';
import { authorize, inLab, type LabUser, makeKey, makeUser } from '../support/lab.ts';
import {
  acceptable,
  accepted,
  answerTo,
  type Attempt,
  certificateType,
  hostBound,
  refused,
  signer,
  webauthn,
} from '../support/publickey-attempt.ts';
import { makeRawKey, str } from '../support/raw-ssh.ts';
import { serverKind, startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 200_000);
const trustedFile = '/etc/ssh/trusted_user_ca';
const key = makeRawKey();
const sign = signer(key);
const authority = generateKey({ type: 'ed25519' }).key;
const by = authorityOf(authority, 'ssh-ed25519');
const fido = new FidoKey('sk-ssh-ed25519@openssh.com');
const browser = new FidoKey('sk-ecdsa-sha2-nistp256@openssh.com', 'https://example.org');
const own = { blob: key.blob, sign };

describe('requests of the method publickey', lab, () => {
  let server: TestServer;
  let alice: LabUser;
  let hostKey: Buffer;

  before(async () => {
    alice = makeUser('alice');
    writeFileSync(trustedFile, `${publicLine(authority.publicBlob)}\n`);
    server = await startServer({
      config: [
        ...['LogLevel VERBOSE', 'MaxAuthTries 20', `TrustedUserCAKeys ${trustedFile}`],
        `PubkeyAcceptedAlgorithms +${webauthn}`,
      ],
      hostKeys: ['ed25519'],
    });
    hostKey = blobOf(readFileSync(path.join(server.folder, 'host_ed25519.pub'), 'utf8'));
  });
  after(async () => {
    await server.stop();
  });

  const certificate = (fields: Partial<ForgedFields> = {}) =>
    forge({ key: key.blob, certificateType, ...fields }, by);
  const certified = (blob: Buffer) => ({ algorithm: certificateType, blob, sign });

  test('a signature that names the host key of this connection', async () => {
    authorize(alice, [key.line]);
    const bound = { method: hostBound, hostKey, blob: key.blob };
    assert.equal(await answerTo(server.port, bound), acceptable);
    assert.equal(await answerTo(server.port, { ...bound, sign }), accepted);
  });

  test('stock ssh binds its signature to the host key', async () => {
    const stock = makeKey('ed25519');
    authorize(alice, [stock.line]);
    const outcome = await ssh(server, { key: stock, args: ['-vvv'] }, 'echo ran');
    assert.equal(outcome.text, 'ran\n', outcome.stderr);
    assert.match(outcome.stderr, /using publickey-hostbound-v00@openssh\.com with ED25519/);
  });

  test('a signature that names another host key, or none, opens nothing', async () => {
    authorize(alice, [key.line]);
    const another = makeRawKey().blob;
    for (const attempt of [
      { ...own, method: hostBound, hostKey: another },
      { blob: key.blob, method: hostBound, hostKey: another },
      { ...own, method: hostBound, hostKey: Buffer.alloc(0) },
      { ...own, method: hostBound },
      {
        ...own,
        method: hostBound,
        hostKey,
        signedAs: { ...own, method: hostBound, hostKey: another },
      },
      { ...own, method: hostBound, hostKey, signedAs: own },
      { ...own, signedAs: { ...own, method: hostBound, hostKey } },
    ] satisfies readonly Attempt[]) {
      const number = await answerTo(server.port, attempt);
      assert.ok(
        number === refused || number === undefined,
        `${JSON.stringify(attempt)}: ${number}`,
      );
    }
    assert.equal(await answerTo(server.port, own), accepted);
  });

  test('a certificate counts as what it is, signed with the plain algorithm', async () => {
    authorize(alice, [key.line]);
    const good = certified(certificate());
    assert.equal(
      await answerTo(server.port, { algorithm: certificateType, blob: good.blob }),
      acceptable,
    );
    assert.equal(await answerTo(server.port, good), accepted);
    for (const attempt of [
      { ...own, blob: certificate() },
      { ...own, algorithm: certificateType },
      { ...good, sign: signer(key, certificateType) },
      { ...good, sign: (data: Buffer) => authority.sign('ssh-ed25519', data) },
      { ...good, signedAs: own },
      { ...good, signedAs: { ...own, blob: certificate() } },
    ] satisfies readonly Attempt[]) {
      assert.equal(await answerTo(server.port, attempt), refused);
    }
  });

  test('the certificate that is asked about is not the one that signs', async () => {
    authorize(alice, []);
    const mine = certified(certificate());
    const others = certified(certificate({ principals: ['bob'] }));
    assert.equal(
      await answerTo(server.port, { algorithm: certificateType, blob: mine.blob }),
      acceptable,
    );
    assert.equal(await answerTo(server.port, { ...others, signedAs: mine }), refused);
    assert.equal(await answerTo(server.port, { ...mine, signedAs: others }), refused);
  });

  test('a FIDO signature for another application, or of the plain type', async () => {
    authorize(alice, [publicLine(fido.publicBlob)]);
    const base = { algorithm: fido.type, blob: fido.publicBlob };
    const elsewhere = (data: Buffer) => fido.sign(data, { application: 'https://example.org' });
    assert.equal(await answerTo(server.port, { ...base, sign: elsewhere }), refused);
    assert.equal(await answerTo(server.port, { ...base, sign }), refused);
    const asPlain = { algorithm: 'ssh-ed25519', blob: fido.publicBlob };
    assert.equal(
      await answerTo(server.port, { ...asPlain, sign: (data) => fido.sign(data) }),
      refused,
    );
  });

  test('webauthn signatures, where they are listed', async () => {
    authorize(alice, [publicLine(browser.publicBlob)]);
    const base = { algorithm: webauthn, blob: browser.publicBlob };
    const good: Attempt = { ...base, sign: (data) => browser.signWebauthn(data) };
    assert.equal(await answerTo(server.port, good), accepted);
    const away = (data: Buffer) => browser.signWebauthn(data, { flags: 0 });
    assert.equal(await answerTo(server.port, { ...base, sign: away }), refused);
    const replayed = (_data: Buffer) => browser.signWebauthn(Buffer.from('another challenge'));
    assert.equal(await answerTo(server.port, { ...base, sign: replayed }), refused);
    await using strict = await startServer({ hostKeys: ['ed25519'] });
    assert.equal(await answerTo(strict.port, good), refused);
  });

  test('keys of other types, and nonsense, are refused one by one', async () => {
    authorize(alice, [key.line]);
    for (const [algorithm, blob] of [
      ['ssh-dss', Buffer.concat([str('ssh-dss'), str('\x01')])],
      ['ssh-unheard@example.org', key.blob],
      ['', key.blob],
      ['ssh-ed25519', Buffer.alloc(0)],
      ['ssh-ed25519', key.blob.subarray(0, -1)],
      ['ssh-ed25519', Buffer.concat([key.blob, Buffer.of(0)])],
      ['rsa-sha2-512', key.blob],
      ['rsa-sha2-512-cert-v01@openssh.com', certificate()],
      [certificateType, certificate().subarray(0, -1)],
      [certificateType, certificate({ tail: Buffer.of(0) })],
      [certificateType, Buffer.alloc(20_000, 0x61)],
    ] as const) {
      const number = await answerTo(server.port, { algorithm, blob, sign });
      assert.ok(number === refused || number === undefined, `${algorithm}: ${number}`);
      if (serverKind === 'sshdesk') {
        assert.equal(number, refused, algorithm);
      }
    }
    assert.equal(await answerTo(server.port, own), accepted);
  });
});
