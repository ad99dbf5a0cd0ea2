import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../../../../src/base/errors.ts';
import { checkedOffer } from '../../../../../src/ssh/transport/settings.ts';
import { Writer } from '../../../../../src/ssh/wire/writer.ts';
import { everyAlgorithm } from '../../../../support/transport-server.ts';

function blob(type: string, content = 'x'): Buffer {
  return new Writer().text(type).text(content).done();
}

function offer(serverHostKey: readonly string[], hostKeys: readonly Buffer[]) {
  return checkedOffer({
    version: 'SSH-2.0-x',
    algorithms: { ...everyAlgorithm, serverHostKey },
    hostKeys,
    rekeyBytes: 0,
    rekeyMs: 0,
  });
}

test('host key algorithms are those with a key, in the order of the configuration', () => {
  const [first, second, rsa] = [blob('ssh-ed25519'), blob('ssh-ed25519', 'y'), blob('ssh-rsa')];
  const names = ['rsa-sha2-256', 'ecdsa-sha2-nistp256', 'ssh-ed25519', 'rsa-sha2-512'];
  const { hostKeys, serverHostKey } = offer(names, [first, second, rsa]);
  assert.deepEqual(serverHostKey, ['rsa-sha2-256', 'ssh-ed25519', 'rsa-sha2-512']);
  assert.deepEqual([...hostKeys.values()], [rsa, first, rsa], 'the first key of a type serves');
});

test('a certificate serves its own algorithms and no other', () => {
  const certificate = blob('ssh-rsa-cert-v01@openssh.com');
  const names = ['rsa-sha2-512-cert-v01@openssh.com', 'rsa-sha2-512'];
  assert.deepEqual(offer(names, [certificate]).serverHostKey, [names[0]]);
});

test('unknown names and no usable key are ConfigErrors', () => {
  assert.throws(() => offer(['ssh-dss'], [blob('ssh-dss')]), ConfigError);
  assert.throws(() => offer(['ssh-ed25519'], [blob('ssh-rsa')]), ConfigError);
});
