import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { privateKeyOf } from '../../../../../keys/private-key.ts';
import { verify } from '../../../../../keys/signature.ts';
import { Log } from '../../../../../src/audit/log.ts';
import { type HostKey, HostKeys, ownHostKey } from '../../../../../src/monitor/host-keys.ts';
import { objection } from '../../../../../src/monitor/request-table.ts';
import { proveHostKeys } from '../../../../../src/monitor/requests/prove-host-keys.ts';
import { Writer } from '../../../../../src/ssh/wire/writer.ts';
import { testConnection } from '../../../../support/monitor-connection.ts';

const ed25519 = ownHostKey(privateKeyOf(generateKeyPairSync('ed25519').privateKey));
const rsa = ownHostKey(
  privateKeyOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey),
);
const silent = ownHostKey(privateKeyOf(generateKeyPairSync('ed25519').privateKey));
const lines: string[] = [];
const log = new Log({ write: (_level, _prefix, line) => void lines.push(line) }, 'INFO');

function rowOf(keys: readonly HostKey[] = [ed25519, rsa, silent]) {
  return proveHostKeys({
    hostKeys: new HostKeys(keys),
    announced: [ed25519.publicBlob, rsa.publicBlob],
  });
}
const request = rowOf();

function loggedIn() {
  const { connection } = testConnection(log);
  connection.sessionId = randomBytes(32);
  connection.phase = 'postauth';
  connection.hostKeyAlgorithm = 'ssh-ed25519';
  return connection;
}

async function ask(
  connection: ReturnType<typeof loggedIn>,
  keys: readonly Buffer[],
  by = request,
): Promise<readonly Buffer[]> {
  const answer = await by.handle(connection, { connection: 1, keys } as never);
  return (answer.values as unknown as { readonly signatures: readonly Buffer[] }).signatures;
}

function proof(sessionId: Buffer, blob: Buffer): Buffer {
  return new Writer().text('hostkeys-prove-00@openssh.com').string(sessionId).string(blob).done();
}

test('each key signs its name, the session and itself', async () => {
  const connection = loggedIn();
  const blobs = [rsa.publicBlob, ed25519.publicBlob];
  const [byRsa, byEd25519] = await ask(connection, blobs);
  const sessionId = connection.sessionId as Buffer;
  assert.ok(
    verify('rsa-sha2-512', rsa.publicBlob, byRsa as Buffer, proof(sessionId, rsa.publicBlob)),
  );
  assert.ok(
    verify(
      'ssh-ed25519',
      ed25519.publicBlob,
      byEd25519 as Buffer,
      proof(sessionId, ed25519.publicBlob),
    ),
  );
});

test('RSA signs as in the key exchange', async () => {
  for (const algorithm of ['rsa-sha2-256', 'rsa-sha2-512']) {
    const connection = loggedIn();
    connection.hostKeyAlgorithm = algorithm;
    const [signature] = await ask(connection, [rsa.publicBlob]);
    const data = proof(connection.sessionId as Buffer, rsa.publicBlob);
    assert.ok(verify(algorithm, rsa.publicBlob, signature as Buffer, data));
  }
});

test('a foreign key, one that was not named, one twice, and no session get nothing', async () => {
  const nobody = privateKeyOf(generateKeyPairSync('ed25519').privateKey).publicBlob;
  for (const keys of [
    [nobody],
    [silent.publicBlob],
    [ed25519.publicBlob, nobody],
    [ed25519.publicBlob, ed25519.publicBlob],
  ]) {
    await assert.rejects(ask(loggedIn(), keys), { name: 'CallFailure' });
  }
  const { connection } = testConnection(log);
  await assert.rejects(ask(connection, [ed25519.publicBlob]), { name: 'CallFailure' });
});

test('before authentication the row is not there', () => {
  const { connection } = testConnection(log);
  assert.match(objection(request, connection) ?? '', /in phase preauth/);
});

test('a few times per connection, no more', async () => {
  const connection = loggedIn();
  let answered = 0;
  for (let i = 0; i < 20; i++) {
    try {
      await ask(connection, [ed25519.publicBlob]);
      answered++;
    } catch (error) {
      assert.equal((error as Error).name, 'CallFailure');
    }
  }
  assert.ok(answered >= 1 && answered <= 4, `${answered} answers`);
  await ask(loggedIn(), [ed25519.publicBlob]);
});

test('a key that cannot sign is a failure with its reason in the log', async () => {
  const broken: HostKey = {
    ...ed25519,
    sign: () => Promise.reject(new Error('the agent is gone')),
  };
  await assert.rejects(ask(loggedIn(), [ed25519.publicBlob], rowOf([broken])), {
    name: 'CallFailure',
  });
  assert.match(lines.at(-1) ?? '', /ssh-ed25519: the agent is gone/);
});
