/**
 * A public key and a signature of it, of every algorithm: only one that was made by the key counts.
 * An input is the blob of the key and the signature, each as a string.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { signatureAlgorithms } from '../../../keys/algorithms.ts';
import { parsePublicKey } from '../../../keys/public-key.ts';
import { claimedAlgorithm, verifySignature } from '../../../keys/signature.ts';
import { ProtocolError } from '../../../src/base/errors.ts';
import { Reader } from '../../../src/ssh/wire/reader.ts';
import type { FuzzTarget } from '../target.ts';

const data = Buffer.from('what is signed');
const folder = new URL('../corpus/signature/', import.meta.url);
const genuine = readdirSync(folder)
  .filter((name) => name.startsWith('made-'))
  .map((name) => readFileSync(new URL(name, folder)));

function split(input: Buffer): readonly [blob: Buffer, signature: Buffer] {
  try {
    const from = new Reader(input);
    return [from.string(), from.string()];
  } catch (error) {
    assert.ok(error instanceof ProtocolError);
    return [input, input];
  }
}

export const signature: FuzzTarget = {
  name: 'signature',
  isStream: false,
  perSecond: 1_000,
  seeds: () => [],
  async run([input = Buffer.alloc(0)]) {
    const [blob, bytes] = split(input);
    claimedAlgorithm(bytes);
    const parsed = parsePublicKey(blob);
    if (!parsed.ok) {
      assert.ok(parsed.reason.length < 1_000);
      return;
    }
    const verified = signatureAlgorithms.some(
      ({ name }) => verifySignature(name, parsed.key, bytes, data) !== undefined,
    );
    // Bytes behind both strings are not looked at here.
    const isGenuine = genuine.some((one) => one.equals(input.subarray(0, one.length)));
    assert.ok(isGenuine || !verified, 'a signature that was changed counts');
    assert.ok(verified || !genuine.some((one) => one.equals(input)), 'a right one does not count');
  },
};
