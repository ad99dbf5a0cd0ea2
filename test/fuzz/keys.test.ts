/**
 * Mutated blobs, signatures, key files and authorized_keys: nothing but values and ConfigError comes
 * out, and nothing that was changed is accepted. The seed is printed with a failure.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matchKey } from '../../keys/authorized-keys.ts';
import { parseKeyOptions } from '../../keys/key-options.ts';
import { generateKey, type KeySpec } from '../../keys/keygen.ts';
import { loadPrivateKey } from '../../keys/private-key.ts';
import { parsePublicKey } from '../../keys/public-key.ts';
import { verify } from '../../keys/signature.ts';
import { ConfigError } from '../../src/base/errors.ts';
import { Mutator } from '../support/mutator.ts';

const specs: readonly KeySpec[] = [
  { type: 'ed25519' },
  { type: 'ecdsa', bits: 256 },
  { type: 'ecdsa', bits: 521 },
  { type: 'rsa', bits: 2048 },
];
const keys = specs.map((spec) => generateKey(spec, 'fuzz'));
const data = Buffer.from('data');
const budgetMs = 1500;

test('mutated blobs and signatures never throw and never verify', { timeout: 30_000 }, () => {
  const mutator = new Mutator();
  const until = performance.now() + budgetMs;
  for (let round = 0; performance.now() < until; round++) {
    const { key } = keys[round % keys.length] as (typeof keys)[number];
    const algorithm = key.type === 'ssh-rsa' ? 'rsa-sha2-512' : key.type;
    const signature = key.sign(algorithm, data);
    const changed = mutator.bytes(signature);
    if (!changed.equals(signature)) {
      assert.ok(!verify(algorithm, key.publicBlob, changed, data), mutator.name);
    }
    const blob = mutator.bytes(key.publicBlob);
    parsePublicKey(blob);
    if (!blob.equals(key.publicBlob)) {
      assert.ok(!verify(algorithm, blob, signature, data), mutator.name);
    }
  }
});

test('a mutated private key file loads as itself or fails by name', { timeout: 30_000 }, () => {
  const mutator = new Mutator();
  const until = performance.now() + budgetMs;
  for (let round = 0; performance.now() < until; round++) {
    const { key, privateFile } = keys[round % keys.length] as (typeof keys)[number];
    const lines = privateFile.toString().split('\n');
    const body = Buffer.from(lines.slice(1, -2).join(''), 'base64');
    const changed =
      round % 4 === 0
        ? mutator.bytes(privateFile)
        : Buffer.from(
            [lines[0], mutator.bytes(body).toString('base64'), lines.at(-2), ''].join('\n'),
          );
    try {
      const loaded = loadPrivateKey(changed);
      assert.ok(loaded.publicBlob.equals(key.publicBlob), mutator.name);
    } catch (error) {
      assert.ok(error instanceof ConfigError, `${mutator.name}: ${String(error)}`);
    }
  }
});

test('a mutated authorized_keys line never gives more than it says', { timeout: 30_000 }, () => {
  const mutator = new Mutator();
  const [mine] = keys as [(typeof keys)[number]];
  const use = { nowMs: 0, remoteAddress: '192.0.2.7', remoteHost: '192.0.2.7' };
  const line = Buffer.from(
    `restrict,command="a \\"b\\"",from="10.0.0.0/8",permitopen="a:1",expiry-time="20300101Z" ${mine.publicFile}`,
  );
  const until = performance.now() + budgetMs;
  while (performance.now() < until) {
    const changed = mutator.bytes(line);
    const found = matchKey(changed, mine.key.publicBlob, use);
    if (found.is === 'match') {
      // Its quotes keep an untouched from= out of every other value, so it has to have held.
      const text = changed.toString('latin1').split('\n')[found.line - 1] ?? '';
      const isPlain = text.trimStart().startsWith(mine.key.type);
      assert.ok(isPlain || !text.includes('from="10.0.0.0/8"'), `${mutator.name}: ${text}`);
    }
    parseKeyOptions(changed.toString('latin1'));
  }
});
