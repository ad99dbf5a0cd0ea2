import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  identitiesRequest,
  readIdentities,
  readSignature,
  signRequest,
} from '../../../keys/agent.ts';
import { ProtocolError } from '../../../src/base/errors.ts';
import { Reader } from '../../../src/ssh/wire/reader.ts';
import { Writer } from '../../../src/ssh/wire/writer.ts';

test('the questions: message number, key, data, and the flags that RSA needs', () => {
  assert.deepEqual(identitiesRequest, Buffer.from([11]));
  const blob = Buffer.from('key');
  const data = Buffer.from('data');
  for (const [algorithm, flags] of [
    ['rsa-sha2-256', 2],
    ['rsa-sha2-512', 4],
    ['ssh-ed25519', 0],
  ] as const) {
    const from = new Reader(signRequest(blob, algorithm, data));
    assert.equal(from.byte(), 13);
    assert.deepEqual(from.string(), blob);
    assert.deepEqual(from.string(), data);
    assert.equal(from.uint32(), flags);
    from.end();
  }
});

const identities = new Writer()
  .byte(12)
  .uint32(2)
  .text('one')
  .text('comment')
  .text('two')
  .text('')
  .done();
const signature = new Writer().byte(14).text('signature').done();

test('the answers', () => {
  assert.deepEqual(readIdentities(identities), [Buffer.from('one'), Buffer.from('two')]);
  assert.deepEqual(readSignature(signature), Buffer.from('signature'));
});

test('an answer cut at each offset, a failure, another message are ProtocolErrors', () => {
  for (const [whole, read] of [
    [identities, readIdentities],
    [signature, readSignature],
  ] as const) {
    for (let bytes = 0; bytes < whole.length; bytes++) {
      assert.throws(() => read(whole.subarray(0, bytes)), ProtocolError);
    }
    assert.throws(() => read(Buffer.concat([whole, Buffer.from([0])])), ProtocolError);
    assert.throws(() => read(Buffer.from([5])), /refused/);
    assert.throws(() => read(Buffer.from([6])), ProtocolError);
  }
  const many = new Writer().byte(12).uint32(0xffffffff).done();
  assert.throws(() => readIdentities(many), ProtocolError);
});
