/** Revocation lists: what each section revokes, and that anything odd refuses the whole list. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { type Certificate, parseCertificate } from '../../../keys/certificate.ts';
import { KeyListError } from '../../../keys/key-list.ts';
import { generateKey } from '../../../keys/keygen.ts';
import { Krl, KrlError } from '../../../keys/krl.ts';
import { parsePublicKey, publicLine, type PublicKey } from '../../../keys/public-key.ts';
import { parseRevokedKeys } from '../../../keys/revoked-keys.ts';
import { Writer } from '../../../src/ssh/wire/writer.ts';
import { authorityOf, forever, forge } from '../../support/forged-certificate.ts';
import {
  certificates,
  extension,
  krl,
  krlHeader,
  section,
  serialBitmap,
  serialList,
  serialRange,
  strings,
} from '../../support/forged-krl.ts';

const authority = generateKey({ type: 'ed25519' }).key;
const other = generateKey({ type: 'ed25519' }).key;
const subject = generateKey({ type: 'ed25519' }).key;

function parsed(blob: Buffer): PublicKey {
  const result = parsePublicKey(blob);
  assert.ok(result.ok);
  return result.key;
}

function certificate(serial: bigint, keyId = 'id'): Certificate {
  const certificateType = 'ssh-ed25519-cert-v01@openssh.com';
  const fields = { key: subject.publicBlob, certificateType, serial, keyId };
  const result = parseCertificate(forge(fields, authorityOf(authority, 'ssh-ed25519')), [
    'ssh-ed25519',
  ]);
  assert.ok(result.ok);
  return result.certificate;
}

/** The serial numbers of these that are revoked. */
function revoked(list: Buffer, ...serials: readonly bigint[]): readonly bigint[] {
  const parsedList = new Krl(list);
  return serials.filter((serial) => parsedList.revokesCertificate(certificate(serial)));
}

test('serial numbers: lists, ranges, bitmaps', () => {
  const of = (...subsections: readonly Buffer[]) =>
    krl(certificates(authority.publicBlob, ...subsections));
  assert.deepEqual(revoked(of(serialList(9n, 3n, forever)), 1n, 3n, 4n, 9n, forever), [
    3n,
    9n,
    forever,
  ]);
  assert.deepEqual(revoked(of(serialRange(3n, 5n)), 2n, 3n, 4n, 5n, 6n), [3n, 4n, 5n]);
  assert.deepEqual(revoked(of(serialRange(5n, forever)), 4n, 5n, forever), [5n, forever]);
  const bitmap = serialBitmap(100n, Buffer.of(0x01, 0x00, 0x85));
  assert.deepEqual(revoked(of(bitmap), 99n, 100n, 101n, 102n, 107n, 108n, 116n, 117n), [
    100n,
    102n,
    107n,
    116n,
  ]);
  assert.deepEqual(revoked(of(serialBitmap(5n, Buffer.alloc(0))), 5n), []);
  const both = of(serialList(1n), serialRange(7n, 7n), bitmap);
  assert.deepEqual(revoked(both, 1n, 2n, 7n, 100n), [1n, 7n, 100n]);
});

test('two sections of one authority add up; serial 0 is nobody’s', () => {
  const list = krl(
    certificates(authority.publicBlob, serialList(1n)),
    certificates(other.publicBlob, serialList(5n)),
    certificates(authority.publicBlob, serialRange(2n, 3n)),
  );
  assert.deepEqual(revoked(list, 0n, 1n, 2n, 3n, 5n), [1n, 2n, 3n]);
});

test('a section without an authority is for every one', () => {
  assert.deepEqual(revoked(krl(certificates(Buffer.alloc(0), serialList(4n))), 4n, 5n), [4n]);
});

test('key ids are compared as a whole', () => {
  const list = new Krl(krl(certificates(authority.publicBlob, strings(0x23, 'alice', 'bob'))));
  assert.ok(list.revokesCertificate(certificate(0n, 'alice')));
  assert.ok(list.revokesCertificate(certificate(0n, 'bob')));
  assert.ok(!list.revokesCertificate(certificate(0n, 'alic')));
});

test('keys by themselves, by SHA-1, by SHA-256', () => {
  const key = parsed(subject.publicBlob);
  const hash = (name: string) => createHash(name).update(subject.publicBlob).digest();
  for (const list of [
    krl(strings(2, other.publicBlob, subject.publicBlob)),
    krl(strings(3, hash('sha1'))),
    krl(strings(5, hash('sha256'))),
  ]) {
    assert.ok(new Krl(list).revokesKey(key));
    assert.ok(!new Krl(list).revokesKey(parsed(authority.publicBlob)));
  }
  assert.ok(!new Krl(krl()).revokesKey(key));
});

test('anything that is not understood refuses the list', () => {
  const of = (...subsections: readonly Buffer[]) =>
    krl(certificates(authority.publicBlob, ...subsections));
  for (const [name, list] of [
    ['another format version', krlHeader(2)],
    ['an unknown section', krl(section(6, Buffer.alloc(0)))],
    ['section 0', krl(section(0, Buffer.alloc(0)))],
    ['an unknown certificate section', of(section(0x24, Buffer.alloc(0)))],
    ['a list of odd length', of(section(0x20, Buffer.alloc(9)))],
    ['serial 0 in a list', of(serialList(1n, 0n))],
    ['serial 0 in a range', of(serialRange(0n, 5n))],
    ['a range backwards', of(serialRange(5n, 4n))],
    ['a range with bytes behind it', of(section(0x21, Buffer.alloc(17, 1)))],
    ['serial 0 in a bitmap', of(serialBitmap(0n, Buffer.of(1)))],
    ['a bitmap beyond the end', of(serialBitmap(forever, Buffer.of(1)))],
    [
      'a negative bitmap',
      of(section(0x22, new Writer().uint64(1n).string(Buffer.of(0x80)).done())),
    ],
    ['a short SHA-1', krl(strings(3, Buffer.alloc(19)))],
    ['a long SHA-256', krl(strings(5, Buffer.alloc(33)))],
    ['a broken authority', krl(certificates(authority.publicBlob.subarray(0, -1), serialList(1n)))],
    ['a critical extension', krl(extension(255, 'x@y', true))],
    ['a critical extension of certificates', of(extension(0x39, 'x@y', true))],
    ['bytes behind it', Buffer.concat([krl(), Buffer.of(1)])],
    ['only the magic', krl().subarray(0, 8)],
  ] as const) {
    assert.throws(() => new Krl(list), KrlError, name);
    assert.throws(() => parseRevokedKeys(list), KrlError, name);
  }
  assert.throws(() => new Krl(Buffer.from('SSHKRL')), KrlError);
});

test('extensions that may be ignored are', () => {
  const list = krl(
    extension(255, 'x@y', false),
    certificates(authority.publicBlob, extension(0x39, 'z', false), serialList(2n)),
  );
  assert.deepEqual(revoked(list, 1n, 2n), [2n]);
});

test('a signature has to be right and last', () => {
  const body = krl(certificates(authority.publicBlob, serialList(2n)));
  const signed = Buffer.concat([body, section(4, other.publicBlob)]);
  const signature = new Writer().string(other.sign('ssh-ed25519', signed)).done();
  const list = Buffer.concat([signed, signature]);
  assert.deepEqual(revoked(list, 2n), [2n]);
  const changed = Buffer.from(list);
  changed[20] = (changed[20] as number) ^ 1;
  assert.throws(() => new Krl(changed), KrlError);
  assert.throws(() => new Krl(Buffer.concat([list, section(2, Buffer.alloc(0))])), KrlError);
});

test('each cut of a list refuses it', () => {
  const list = krl(
    certificates(authority.publicBlob, serialList(2n), serialRange(3n, 4n), strings(0x23, 'a')),
    strings(2, subject.publicBlob),
  );
  const boundary = krl(
    certificates(authority.publicBlob, serialList(2n), serialRange(3n, 4n), strings(0x23, 'a')),
  ).length;
  for (let end = 0; end < list.length; end++) {
    const cut = list.subarray(0, end);
    if (end === boundary || end === krlHeader().length) {
      assert.ok(new Krl(cut));
    } else {
      assert.throws(() => new Krl(cut), KrlError, `cut at ${end}`);
    }
  }
});

test('INCIDENTS 12: text lists: keys, certificates, and no line that is neither', () => {
  const line = publicLine(subject.publicBlob, 'a comment');
  const key = parsed(subject.publicBlob);
  const list = (text: string) => parseRevokedKeys(Buffer.from(text));
  assert.ok(list(`# x\n\n  \t${line}\r\n`).revokesKey(key));
  assert.ok(list(line).revokesKey(key));
  const { blob, certificateType } = certificate(1n);
  assert.ok(list(`${certificateType} ${blob.toString('base64')}\n`).revokesKey(key));
  assert.ok(
    list(
      `ssh-dss ${new Writer().text('ssh-dss').mpint(Buffer.of(5)).done().toString('base64')}\n${line}`,
    ).revokesKey(key),
  );
  assert.ok(!list(publicLine(other.publicBlob)).revokesKey(key));
  assert.ok(!list('').revokesKey(key));
  for (const text of [
    'what is this',
    `no-pty ${line}`,
    line.slice(0, 40),
    `ssh-rsa ${subject.publicBlob.toString('base64')}`,
    `${line}\n-----BEGIN SSH KRL-----`,
    `ssh-ed25519 ${subject.publicBlob.subarray(0, -1).toString('base64')}`,
    'x'.repeat(70_000),
  ]) {
    assert.throws(() => list(text), KeyListError, text.slice(0, 60));
  }
});
