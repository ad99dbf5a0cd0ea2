/**
 * Requests of the method publickey that no stock client sends, with everything signed as it should be
 * but for one thing. Expectations hold for Debian's sshd as well (SSHDESK_TEST_SERVER=sshd), where a
 * test does not say otherwise. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { generateKey } from '../../keys/keygen.ts';
import { publicLine } from '../../keys/public-key.ts';
import { blobOf } from '../support/certificates.ts';
import { FidoKey } from '../support/fido.ts';
import { authorityOf, forge, type ForgedFields } from '../support/forged-certificate.ts';
import { authorize, inLab, type LabUser, makeKey, makeUser } from '../support/lab.ts';
import { makeRawKey, no, payload, RawSsh, str, yes } from '../support/raw-ssh.ts';
import { serverKind, startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 200_000);
const trustedFile = '/etc/ssh/trusted_user_ca';
const hostBound = 'publickey-hostbound-v00@openssh.com';
const webauthn = 'webauthn-sk-ecdsa-sha2-nistp256@openssh.com';
const certificateType = 'ssh-ed25519-cert-v01@openssh.com';
const accepted = 52;
const refused = 51;
const acceptable = 60;

const key = makeRawKey();
const authority = generateKey({ type: 'ed25519' }).key;
const by = authorityOf(authority, 'ssh-ed25519');
const fido = new FidoKey('sk-ssh-ed25519@openssh.com');
const browser = new FidoKey('sk-ecdsa-sha2-nistp256@openssh.com', 'https://example.org');

function signEd25519(data: Buffer, name = 'ssh-ed25519'): Buffer {
  return Buffer.concat([str(name), str(sign(null, data, key.privateKey))]);
}

interface Attempt {
  readonly method?: string;
  readonly algorithm?: string;
  readonly blob?: Buffer;
  readonly hostKey?: Buffer;
  readonly sign?: (data: Buffer) => Buffer;
  /** Asks only whether the key would do. */
  readonly isQuery?: boolean;
  /** What is signed in place of the request. */
  readonly signedAs?: Attempt;
}

function request(attempt: Attempt): Buffer {
  const { method = 'publickey', algorithm = 'ssh-ed25519', blob = key.blob, hostKey } = attempt;
  return payload(
    50,
    ...[str('alice'), str('ssh-connection'), str(method), attempt.isQuery === true ? no : yes],
    ...[str(algorithm), str(blob)],
    ...(hostKey === undefined ? [] : [str(hostKey)]),
  );
}

/** The answer's number; undefined: the connection was ended. */
async function answer(server: TestServer, attempt: Attempt): Promise<number | undefined> {
  using client = await RawSsh.shaken(server.port);
  await client.requestUserauth();
  const head = request(attempt);
  if (attempt.isQuery === true) {
    client.send(head);
  } else {
    const signed = attempt.signedAs === undefined ? head : request(attempt.signedAs);
    const data = Buffer.concat([str(client.sessionId as Buffer), signed]);
    client.send(Buffer.concat([head, str((attempt.sign ?? signEd25519)(data))]));
  }
  for (;;) {
    const message = await client.next();
    if (message === undefined || message[0] === 1) {
      return undefined;
    }
    if ([accepted, refused, acceptable].includes(message[0] as number)) {
      return message[0];
    }
  }
}

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
  const certified = (blob: Buffer): Attempt => ({ algorithm: certificateType, blob });

  test('a signature that names the host key of this connection', async () => {
    authorize(alice, [key.line]);
    const bound = { method: hostBound, hostKey };
    assert.equal(await answer(server, { ...bound, isQuery: true }), acceptable);
    assert.equal(await answer(server, bound), accepted);
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
      { method: hostBound, hostKey: another },
      { method: hostBound, hostKey: another, isQuery: true },
      { method: hostBound, hostKey: Buffer.alloc(0) },
      { method: hostBound },
      { method: hostBound, hostKey, signedAs: { method: hostBound, hostKey: another } },
      { method: hostBound, hostKey, signedAs: {} },
      { method: 'publickey', signedAs: { method: hostBound, hostKey } },
    ] satisfies readonly Attempt[]) {
      const number = await answer(server, attempt);
      assert.ok(
        number === refused || number === undefined,
        `${JSON.stringify(attempt)}: ${number}`,
      );
    }
    assert.equal(await answer(server, {}), accepted);
  });

  test('a certificate counts as what it is, signed with the plain algorithm', async () => {
    authorize(alice, [key.line]);
    const good = certified(certificate());
    assert.equal(await answer(server, { ...good, isQuery: true }), acceptable);
    assert.equal(await answer(server, good), accepted);
    for (const attempt of [
      { algorithm: 'ssh-ed25519', blob: certificate() },
      { algorithm: certificateType, blob: key.blob },
      { ...good, sign: (data: Buffer) => signEd25519(data, certificateType) },
      { ...good, sign: (data: Buffer) => authority.sign('ssh-ed25519', data) },
      { ...good, signedAs: { algorithm: 'ssh-ed25519' } },
      { ...good, signedAs: { algorithm: 'ssh-ed25519', blob: certificate() } },
    ] satisfies readonly Attempt[]) {
      assert.equal(await answer(server, attempt), refused);
    }
  });

  test('the certificate that is asked about is not the one that signs', async () => {
    authorize(alice, []);
    const mine = certified(certificate());
    const others = certified(certificate({ principals: ['bob'] }));
    assert.equal(await answer(server, { ...mine, isQuery: true }), acceptable);
    assert.equal(await answer(server, { ...others, signedAs: mine }), refused);
    assert.equal(await answer(server, { ...mine, signedAs: others }), refused);
  });

  test('Teleport CVE-2025-49825: a certificate is no authority', async () => {
    const inner = generateKey({ type: 'ed25519' }).key;
    // Signed by the trusted authority, this would make its holder one as well.
    const nested = forge({ key: inner.publicBlob, certificateType, subject: 2 }, by);
    const holder = { publicBlob: nested, sign: (data: Buffer) => inner.sign('ssh-ed25519', data) };
    const user = forge({ key: inner.publicBlob, certificateType }, by);
    for (const authorityBlob of [nested, user]) {
      const blob = forge({ key: key.blob, certificateType, authorityBlob }, holder);
      authorize(alice, [`cert-authority ${certificateType} ${authorityBlob.toString('base64')}`]);
      assert.equal(await answer(server, certified(blob)), refused);
    }
  });

  test('CVE-2024-7594 and its like: principals are compared as a whole', async () => {
    authorize(alice, [`cert-authority,principals="ops,web" ${publicLine(authority.publicBlob)}`]);
    for (const principals of [
      ...[['bob,alice'], ['alice,bob'], ['alice '], ['ALICE'], ['*'], ['alic?'], [''], []],
    ]) {
      assert.equal(await answer(server, certified(certificate({ principals }))), refused);
    }
    assert.equal(await answer(server, certified(certificate({ principals: ['web'] }))), accepted);
    // OpenSSH up to 10.2 splits the certificate's own names at commas too.
    if (serverKind === 'sshdesk') {
      const joined = certificate({ principals: ['x,web'] });
      assert.equal(await answer(server, certified(joined)), refused);
    }
  });

  test('Go CVE-2026-39831: flags of a FIDO signature that is right in all else', async () => {
    const line = publicLine(fido.publicBlob);
    const attempt = (flags: number): Attempt => ({
      algorithm: fido.type,
      blob: fido.publicBlob,
      sign: (data) => fido.sign(data, { flags }),
    });
    authorize(alice, [line]);
    assert.equal(await answer(server, attempt(1)), accepted);
    assert.equal(await answer(server, attempt(0)), refused);
    assert.equal(await answer(server, attempt(0xfe)), refused);
    authorize(alice, [`verify-required ${line}`]);
    assert.equal(await answer(server, attempt(1)), refused);
    assert.equal(await answer(server, attempt(5)), accepted);
    authorize(alice, [`no-touch-required ${line}`]);
    assert.equal(await answer(server, attempt(0)), accepted);
  });

  test('a FIDO signature for another application, or of the plain type', async () => {
    authorize(alice, [publicLine(fido.publicBlob)]);
    const base = { algorithm: fido.type, blob: fido.publicBlob };
    const elsewhere = (data: Buffer) => fido.sign(data, { application: 'https://example.org' });
    assert.equal(await answer(server, { ...base, sign: elsewhere }), refused);
    assert.equal(await answer(server, { ...base, sign: signEd25519 }), refused);
    const asPlain = { algorithm: 'ssh-ed25519', blob: fido.publicBlob };
    assert.equal(await answer(server, { ...asPlain, sign: (data) => fido.sign(data) }), refused);
  });

  test('webauthn signatures, where they are listed', async () => {
    authorize(alice, [publicLine(browser.publicBlob)]);
    const base = { algorithm: webauthn, blob: browser.publicBlob };
    const good: Attempt = { ...base, sign: (data) => browser.signWebauthn(data) };
    assert.equal(await answer(server, good), accepted);
    const away = (data: Buffer) => browser.signWebauthn(data, { flags: 0 });
    assert.equal(await answer(server, { ...base, sign: away }), refused);
    const replayed = (_data: Buffer) => browser.signWebauthn(Buffer.from('another challenge'));
    assert.equal(await answer(server, { ...base, sign: replayed }), refused);
    await using strict = await startServer({ hostKeys: ['ed25519'] });
    assert.equal(await answer(strict, good), refused);
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
      const number = await answer(server, { algorithm, blob });
      assert.ok(number === refused || number === undefined, `${algorithm}: ${number}`);
      if (serverKind === 'sshdesk') {
        assert.equal(number, refused, algorithm);
      }
    }
    assert.equal(await answer(server, {}), accepted);
  });
});
