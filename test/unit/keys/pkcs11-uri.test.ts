/** URIs of keys in tokens: what is taken, and that nothing in them is passed over. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPkcs11Uri, parsePkcs11Uri } from '../../../keys/pkcs11-uri.ts';
import { ConfigError } from '../../../src/base/errors.ts';

test('token, object, id, module and where the PIN is', () => {
  const uri = parsePkcs11Uri(
    'pkcs11:token=My%20HSM;object=host%3Bkey;id=%00%01A?module-path=/usr/lib/m.so&pin-source=file:/etc/pin',
  );
  assert.equal(uri.token, 'My HSM');
  assert.equal(uri.object, 'host;key');
  assert.deepEqual(uri.id, Buffer.from([0, 1, 0x41]));
  assert.equal(uri.modulePath, '/usr/lib/m.so');
  assert.deepEqual(uri.pinSource, { kind: 'file', path: '/etc/pin' });
  assert.equal(uri.name, 'pkcs11:token=My%20HSM;object=host%3Bkey;id=%00%01A');
  assert.deepEqual(parsePkcs11Uri('pkcs11:?pin-source=file:///etc/pin').pinSource, {
    kind: 'file',
    path: '/etc/pin',
  });
  assert.deepEqual(parsePkcs11Uri('pkcs11:?pin-source=credential:pin.1').pinSource, {
    kind: 'credential',
    name: 'pin.1',
  });
  assert.ok(isPkcs11Uri('PKCS11:x') && !isPkcs11Uri('/pkcs11:x') && !isPkcs11Uri(''));
});

test('what is refused', () => {
  for (const text of [
    ...['pkcs11:token=a;token=b', 'pkcs11:serial=1', 'pkcs11:token', 'pkcs11:;', 'pkcs11:token='],
    ...['pkcs11:id=', 'pkcs11:id=%0', 'pkcs11:token=%ff', 'pkcs11:token=a b', 'pkcs11:token=%00'],
    ...['pkcs11:?pin-value=1', 'pkcs11:pin-value=1', 'pkcs11:?module-path=m.so'],
    ...['pkcs11:?module-name=m', 'pkcs11:?pin-source=/etc/pin', 'pkcs11:?pin-source=%7Ccat'],
    ...['pkcs11:?pin-source=file:pin', 'pkcs11:?pin-source=file://host/pin', 'pkcs11:a?b?c'],
    ...['pkcs11:?pin-source=credential:../pin', 'pkcs11:?pin-source=credential:', '/etc/key'],
    `pkcs11:token=${'a'.repeat(3000)}`,
    `pkcs11:id=${'%01'.repeat(300)}`,
  ]) {
    assert.throws(() => parsePkcs11Uri(text), ConfigError, text.slice(0, 60));
  }
});
