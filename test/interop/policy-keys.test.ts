/** Key formats, fingerprints and signatures against Debian's ssh-keygen, both ways. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { algorithmsOf } from '../../keys/algorithms.ts';
import { generateKey, type KeySpec } from '../../keys/keygen.ts';
import { loadPrivateKey } from '../../keys/private-key.ts';
import { fingerprint, parsePublicKey } from '../../keys/public-key.ts';
import { verify } from '../../keys/signature.ts';
import { Reader } from '../../src/ssh/wire/reader.ts';
import { Writer } from '../../src/ssh/wire/writer.ts';

const keygen = '/usr/bin/ssh-keygen';
const skip = existsSync(keygen) ? false : `${keygen} is not installed`;
let folder = '';

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'policy-keys-'));
});
after(() => {
  rmSync(folder, { recursive: true, force: true });
});

function run(args: readonly string[], input?: Buffer): string {
  return execFileSync(keygen, args, {
    encoding: 'utf8',
    timeout: 30_000,
    ...(input === undefined ? {} : { input }),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

/** What `ssh-keygen -Y sign` signs (PROTOCOL.sshsig of OpenSSH). */
function sshsigData(namespace: string, message: Buffer): Buffer {
  return new Writer()
    .raw(Buffer.from('SSHSIG'))
    .text(namespace)
    .text('')
    .text('sha512')
    .string(createHash('sha512').update(message).digest())
    .done();
}

function armour(blob: Buffer, signature: Buffer): string {
  const body = new Writer()
    .raw(Buffer.from('SSHSIG'))
    .uint32(1)
    .string(blob)
    .text('file')
    .text('')
    .text('sha512')
    .string(signature)
    .done();
  const lines = body.toString('base64').match(/.{1,70}/g) ?? [];
  return `-----BEGIN SSH SIGNATURE-----\n${lines.join('\n')}\n-----END SSH SIGNATURE-----\n`;
}

const theirs: readonly (readonly [name: string, args: readonly string[]])[] = [
  ['ed25519', ['-t', 'ed25519']],
  ['ecdsa-256', ['-t', 'ecdsa', '-b', '256']],
  ['ecdsa-384', ['-t', 'ecdsa', '-b', '384']],
  ['ecdsa-521', ['-t', 'ecdsa', '-b', '521']],
  ['rsa-1024', ['-t', 'rsa', '-b', '1024']],
  ['rsa-3072', ['-t', 'rsa', '-b', '3072']],
  ['rsa PKCS#1', ['-t', 'rsa', '-b', '2048', '-m', 'PEM']],
  ['rsa PKCS#8', ['-t', 'rsa', '-b', '2048', '-m', 'PKCS8']],
  ['ecdsa SEC1', ['-t', 'ecdsa', '-b', '384', '-m', 'PEM']],
  ['ecdsa PKCS#8', ['-t', 'ecdsa', '-b', '521', '-m', 'PKCS8']],
];

for (const [name, args] of theirs) {
  test(`a key of ssh-keygen loads, and its signatures hold both ways: ${name}`, { skip }, () => {
    const path = join(folder, name.replace(/\W/g, '-'));
    run(['-q', ...args, '-N', '', '-C', 'a comment', '-f', path]);
    const key = loadPrivateKey(readFileSync(path));
    const [type, base64] = readFileSync(`${path}.pub`, 'utf8').split(' ');
    assert.equal(key.type, type);
    assert.equal(key.publicBlob.toString('base64'), base64);
    assert.equal(fingerprint(key.publicBlob), run(['-l', '-f', `${path}.pub`]).split(' ')[1]);
    const parsed = parsePublicKey(key.publicBlob);
    assert.ok(parsed.ok);
    assert.equal(String(parsed.key.bits), run(['-l', '-f', `${path}.pub`]).split(' ')[0]);

    const message = Buffer.from('what is signed');
    writeFileSync(join(folder, 'message'), message);
    run(['-q', '-Y', 'sign', '-f', path, '-n', 'file', join(folder, 'message')]);
    const made = readFileSync(join(folder, 'message.sig'), 'utf8');
    rmSync(join(folder, 'message.sig'));
    const from = new Reader(Buffer.from(made.replace(/-----[^\n]*/g, ''), 'base64'), 10);
    assert.ok(from.string().equals(key.publicBlob));
    from.string();
    from.string();
    from.string();
    const signature = from.string();
    const algorithm = new Reader(signature).string().toString();
    assert.ok(verify(algorithm, key.publicBlob, signature, sshsigData('file', message)));
    assert.ok(!verify(algorithm, key.publicBlob, signature, sshsigData('file', Buffer.from('x'))));

    writeFileSync(join(folder, 'signers'), `me ${type} ${base64}\n`);
    for (const each of algorithmsOf(key.type)) {
      const ours = key.sign(each, sshsigData('file', message));
      writeFileSync(join(folder, 'ours.sig'), armour(key.publicBlob, ours));
      const said = run(
        [
          '-Y',
          'verify',
          '-f',
          join(folder, 'signers'),
          '-I',
          'me',
          '-n',
          'file',
          '-s',
          join(folder, 'ours.sig'),
        ],
        message,
      );
      assert.match(said, /^Good "file" signature/);
    }
  });
}

const specs: readonly KeySpec[] = [
  { type: 'ed25519' },
  { type: 'ecdsa', bits: 256 },
  { type: 'ecdsa', bits: 384 },
  { type: 'ecdsa', bits: 521 },
  { type: 'rsa', bits: 2048 },
];

for (const spec of specs) {
  test(`a generated key is one for ssh-keygen: ${JSON.stringify(spec)}`, { skip }, () => {
    const path = join(folder, 'made');
    const made = generateKey(spec, 'me@here');
    writeFileSync(path, made.privateFile, { mode: 0o600 });
    assert.equal(run(['-y', '-P', '', '-f', path]), made.publicFile);
    const listed = run(['-l', '-f', path]);
    assert.ok(listed.includes(` ${made.fingerprint} me@here `), listed);
    assert.ok(loadPrivateKey(made.privateFile).publicBlob.equals(made.key.publicBlob));
    rmSync(path);
  });
}

for (const [name, args] of [
  ['OpenSSH', []],
  ['PKCS#1', ['-m', 'PEM']],
  ['PKCS#8', ['-m', 'PKCS8']],
] as const) {
  test(`a key behind a passphrase is refused by name: ${name}`, { skip }, () => {
    const path = join(folder, `locked-${name.replace(/\W/g, '')}`);
    run(['-q', '-t', 'rsa', '-b', '2048', ...args, '-N', 'secret phrase', '-f', path]);
    assert.throws(() => loadPrivateKey(readFileSync(path)), /encrypted with a passphrase/);
  });
}
