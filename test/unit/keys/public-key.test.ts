/** Blobs and signatures of strangers: what is refused, and at what cost. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { signatureAlgorithms, userKeyAlgorithm } from '../../../keys/algorithms.ts';
import { generateKey, type KeySpec } from '../../../keys/keygen.ts';
import { fingerprint, parsePublicKey } from '../../../keys/public-key.ts';
import { verify } from '../../../keys/signature.ts';
import { Reader } from '../../../src/ssh/wire/reader.ts';
import { Writer } from '../../../src/ssh/wire/writer.ts';

const specs: readonly KeySpec[] = [
  { type: 'ed25519' },
  { type: 'ecdsa', bits: 256 },
  { type: 'ecdsa', bits: 384 },
  { type: 'ecdsa', bits: 521 },
  { type: 'rsa', bits: 2048 },
];
const keys = specs.map((spec) => generateKey(spec).key);
const data = Buffer.from('the signed bytes');

function rsaBlob(exponent: string, modulus: Buffer): Buffer {
  return new Writer().text('ssh-rsa').mpint(Buffer.from(exponent, 'hex')).mpint(modulus).done();
}
function modulusOf(bits: number): Buffer {
  const modulus = randomBytes(bits / 8);
  modulus[0] = (modulus[0] as number) | 0x80;
  modulus[modulus.length - 1] = (modulus.at(-1) as number) | 1;
  return modulus;
}
function innerOf(signature: Buffer): Buffer {
  const from = new Reader(signature);
  from.string();
  return from.string();
}
function signatureBlob(algorithm: string, inner: Buffer): Buffer {
  return new Writer().text(algorithm).string(inner).done();
}

test('a signature counts for its algorithm, its key and its data only', () => {
  for (const key of keys) {
    for (const row of signatureAlgorithms.filter(({ keyType }) => keyType === key.type)) {
      const signature = key.sign(row.name, data);
      assert.ok(verify(row.name, key.publicBlob, signature, data));
      assert.ok(!verify(row.name, key.publicBlob, signature, Buffer.from('other bytes')));
      for (const other of signatureAlgorithms.filter(({ name }) => name !== row.name)) {
        assert.ok(!verify(other.name, key.publicBlob, signature, data), other.name);
        const relabelled = signatureBlob(other.name, innerOf(signature));
        assert.ok(!verify(row.name, key.publicBlob, relabelled, data), other.name);
        const isOfType = other.keyType === key.type;
        assert.ok(isOfType || !verify(other.name, key.publicBlob, relabelled, data), other.name);
      }
      for (const other of keys.filter((each) => each !== key)) {
        assert.ok(!verify(row.name, other.publicBlob, signature, data));
      }
    }
  }
});

test('SHA-1 and DSA have no algorithm', () => {
  for (const name of [
    'ssh-rsa',
    'ssh-dss',
    'ssh-rsa-cert-v01@openssh.com',
    'ssh-dss-cert-v01@openssh.com',
    'webauthn-sk-ecdsa-sha2-nistp256-cert-v01@openssh.com',
    '',
    '__proto__',
    'constructor',
  ]) {
    assert.equal(userKeyAlgorithm(name), undefined, name);
    const key = keys[4];
    assert.ok(key !== undefined);
    const signature = signatureBlob(name, innerOf(key.sign('rsa-sha2-256', data)));
    assert.ok(!verify(name, key.publicBlob, signature, data), name);
  }
});

test('every cut and every added byte of a key or signature is refused without an exception', () => {
  for (const key of keys) {
    const algorithm = key.type === 'ssh-rsa' ? 'rsa-sha2-256' : key.type;
    const signature = key.sign(algorithm, data);
    for (let length = 0; length < key.publicBlob.length; length++) {
      assert.ok(!parsePublicKey(key.publicBlob.subarray(0, length)).ok, `${key.type} ${length}`);
    }
    for (let length = 0; length < signature.length; length++) {
      assert.ok(!verify(algorithm, key.publicBlob, signature.subarray(0, length), data));
    }
    const zero = Buffer.from([0]);
    assert.ok(!parsePublicKey(Buffer.concat([key.publicBlob, zero])).ok);
    assert.ok(!verify(algorithm, key.publicBlob, Buffer.concat([signature, zero]), data));
    const longer = signatureBlob(algorithm, Buffer.concat([innerOf(signature), zero]));
    assert.ok(!verify(algorithm, key.publicBlob, longer, data));
  }
});

test('Ed25519 keys and signatures have exactly 32 and 64 bytes', () => {
  for (const length of [0, 1, 31, 33, 64, 4000]) {
    const blob = new Writer().text('ssh-ed25519').string(Buffer.alloc(length, 1)).done();
    assert.ok(!parsePublicKey(blob).ok, `${length}`);
  }
  const key = keys[0];
  assert.ok(key !== undefined);
  for (const length of [0, 1, 63, 65, 128]) {
    const signature = signatureBlob('ssh-ed25519', Buffer.alloc(length, 1));
    assert.ok(!verify('ssh-ed25519', key.publicBlob, signature, data), `${length}`);
  }
});

test('a point that is not on its curve, compressed, or of another curve is refused', () => {
  function blob(type: string, curve: string, point: Buffer): Buffer {
    return new Writer().text(type).text(curve).string(point).done();
  }
  const type = 'ecdsa-sha2-nistp256';
  const good = keys[1]?.publicBlob;
  assert.ok(good !== undefined);
  const from = new Reader(good);
  from.string();
  from.string();
  const point = Buffer.from(from.string());
  assert.ok(parsePublicKey(blob(type, 'nistp256', point)).ok);
  const moved = Buffer.from(point);
  moved[64] = (moved[64] as number) ^ 1;
  const cases: readonly (readonly [string, Buffer])[] = [
    ['off the curve', blob(type, 'nistp256', moved)],
    ['zero', blob(type, 'nistp256', Buffer.concat([Buffer.from([4]), Buffer.alloc(64)]))],
    ['at infinity', blob(type, 'nistp256', Buffer.from([0]))],
    [
      'compressed',
      blob(type, 'nistp256', Buffer.concat([Buffer.from([2]), point.subarray(1, 33)])),
    ],
    ['curve of another name', blob(type, 'nistp384', point)],
    ['type of another name', blob('ecdsa-sha2-nistp384', 'nistp384', point)],
    [
      'beyond the field',
      blob(type, 'nistp256', Buffer.concat([Buffer.from([4]), Buffer.alloc(64, 255)])),
    ],
  ];
  for (const [name, each] of cases) {
    assert.ok(!parsePublicKey(each).ok, name);
  }
});

test('r and s that are zero, negative, padded or too long are refused', () => {
  const key = keys[1];
  assert.ok(key !== undefined);
  const inner = new Reader(innerOf(key.sign('ecdsa-sha2-nistp256', data)));
  const r = Buffer.from(inner.string());
  const s = Buffer.from(inner.string());
  const zero = Buffer.alloc(0);
  const pairs: readonly (readonly [string, Buffer, Buffer])[] = [
    ['zero r', zero, s],
    ['zero s', r, zero],
    ['negative', Buffer.alloc(32, 0x80), s],
    ['padded', Buffer.concat([Buffer.alloc(1), Buffer.alloc(1), r]), s],
    ['too long', Buffer.alloc(2000, 1), s],
  ];
  const name = 'ecdsa-sha2-nistp256';
  const whole = signatureBlob(name, new Writer().string(r).string(s).done());
  assert.ok(verify(name, key.publicBlob, whole, data), 'the frame of the test is right');
  for (const [what, first, second] of pairs) {
    const signature = signatureBlob(name, new Writer().string(first).string(second).done());
    assert.ok(!verify(name, key.publicBlob, signature, data), what);
  }
});

test('RSA keys of odd sizes and exponents are refused', () => {
  const good = modulusOf(2048);
  const even = Buffer.from(good);
  even[255] = (even[255] as number) & 0xfe;
  const cases: readonly (readonly [string, Buffer, boolean])[] = [
    ['the usual', rsaBlob('010001', good), true],
    ['exponent 3', rsaBlob('03', good), true],
    ['exponent 1', rsaBlob('01', good), false],
    ['exponent 0', rsaBlob('', good), false],
    ['even exponent', rsaBlob('010000', good), false],
    ['exponent of 33 bits', rsaBlob('0100000001', good), false],
    ['exponent as long as the modulus', rsaBlob(good.toString('hex'), good), false],
    ['even modulus', rsaBlob('010001', even), false],
    ['1024 bits', rsaBlob('010001', modulusOf(1024)), true],
    ['1016 bits', rsaBlob('010001', modulusOf(1016)), false],
    ['16384 bits', rsaBlob('010001', modulusOf(16384)), true],
    ['16392 bits', rsaBlob('010001', modulusOf(16392)), false],
    ['65536 bits', rsaBlob('010001', modulusOf(65536)), false],
    ['no modulus', rsaBlob('010001', Buffer.alloc(0)), false],
    [
      'a negative modulus',
      new Writer()
        .text('ssh-rsa')
        .mpint(Buffer.from([1, 0, 1]))
        .string(good)
        .done(),
      false,
    ],
  ];
  for (const [name, blob, isGood] of cases) {
    assert.equal(parsePublicKey(blob).ok, isGood, name);
  }
});

test('the most costly key and signature take less than 5 ms', () => {
  const hostile: readonly Buffer[] = [
    rsaBlob('ffffffff', modulusOf(16384)),
    rsaBlob('ff'.repeat(2048), modulusOf(16384)),
    rsaBlob('010001', modulusOf(65536)),
    Buffer.alloc(262_144, 0xff),
    new Writer().text('ssh-rsa').string(Buffer.alloc(200_000, 1)).done(),
  ];
  for (const blob of hostile) {
    const signature = signatureBlob('rsa-sha2-512', Buffer.alloc(2048, 0x7f));
    // The least of several: the others have waited for a processor.
    const costMs = Math.min(
      ...Array.from({ length: 9 }, () => {
        const from = performance.now();
        assert.ok(!verify('rsa-sha2-512', blob, signature, data));
        return performance.now() - from;
      }),
    );
    assert.ok(costMs < 5, `${blob.length} bytes: ${costMs} ms`);
  }
});

test('an RSA signature without its leading zeros counts, a longer one does not', () => {
  const key = keys[4];
  assert.ok(key !== undefined);
  for (let tries = 0; tries < 5000; tries++) {
    const bytes = Buffer.from(`message ${tries}`);
    const inner = innerOf(key.sign('rsa-sha2-256', bytes));
    if (inner[0] === 0) {
      assert.ok(
        verify(
          'rsa-sha2-256',
          key.publicBlob,
          signatureBlob('rsa-sha2-256', inner.subarray(1)),
          bytes,
        ),
      );
      const longer = Buffer.concat([Buffer.alloc(1), inner]);
      assert.ok(
        !verify('rsa-sha2-256', key.publicBlob, signatureBlob('rsa-sha2-256', longer), bytes),
      );
      return;
    }
  }
  assert.fail('no signature with a leading zero in 5000');
});

test('a fingerprint is unpadded base64 of SHA-256', () => {
  assert.equal(fingerprint(Buffer.alloc(0)), 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU');
});

test('fingerprints by other hashes, as ssh-keygen -E prints them', () => {
  const nothing = Buffer.alloc(0);
  assert.equal(fingerprint(nothing, 'MD5'), 'MD5:d4:1d:8c:d9:8f:00:b2:04:e9:80:09:98:ec:f8:42:7e');
  assert.equal(fingerprint(nothing, 'SHA1'), 'SHA1:2jmj7l5rSw0yVb/vlWAYkK/YBwk');
  assert.match(fingerprint(nothing, 'SHA512'), /^SHA512:z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg\/SpIdNs/);
});
