import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProtocolError } from '../../../../../src/base/errors.ts';
import {
  announceHostKeys,
  hostKeysProve,
  maxProvenHostKeys,
  understandsHostKeys,
} from '../../../../../src/ssh/connection/host-keys.ts';
import { GlobalRequest } from '../../../../../src/ssh/connection/messages.ts';
import { Reader } from '../../../../../src/ssh/wire/reader.ts';
import { Writer } from '../../../../../src/ssh/wire/writer.ts';

const context = { refuseFurtherSessions() {} };
const keys = [Buffer.from('one'), Buffer.from('two')];

function asked(blobs: readonly Buffer[]): Reader {
  return new Reader(blobs.reduce((to, blob) => to.string(blob), new Writer()).done());
}

test('the keys are named in a request that wants no reply', () => {
  const { name, wantReply, data } = GlobalRequest.decode(announceHostKeys(keys));
  assert.equal(name, 'hostkeys-00@openssh.com');
  assert.equal(wantReply, false);
  const from = new Reader(data);
  assert.deepEqual([from.string(), from.string(), from.left], [...keys, 0]);
});

test('the answer is one signature per key, in order', async () => {
  const [name, handle] = hostKeysProve({
    prove: async (blobs) => blobs.map((blob) => Buffer.from(`signed ${blob}`)),
  });
  assert.equal(name, 'hostkeys-prove-00@openssh.com');
  const answer = (await handle(asked(keys), context)) as Buffer;
  const from = new Reader(answer);
  assert.equal(from.text(), 'signed one');
  assert.equal(from.text(), 'signed two');
  from.end();
});

test('what is refused, empty or too much is answered with FAILURE, unasked', async () => {
  let calls = 0;
  const [, handle] = hostKeysProve({
    prove: async () => {
      calls++;
      return undefined;
    },
  });
  assert.equal(await handle(asked(keys), context), false);
  assert.equal(calls, 1);
  assert.equal(await handle(asked([]), context), false);
  const many = Array.from({ length: maxProvenHostKeys + 1 }, () => Buffer.from('x'));
  assert.equal(await handle(asked(many), context), false);
  assert.equal(calls, 1);
  await assert.rejects(
    async () => handle(new Reader(Buffer.from([0, 0, 0, 9, 1])), context),
    ProtocolError,
  );
});

test('clients that end the connection over it are spared', () => {
  assert.equal(understandsHostKeys('SSH-2.0-TTSSH/2.70 Win32'), false);
  assert.equal(understandsHostKeys('SSH-2.0-TTSSH/2.73 Win32'), true);
  assert.equal(understandsHostKeys('SSH-2.0-OpenSSH_9.2'), true);
});
