import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KexError, ProtocolError } from '../../../../../src/base/errors.ts';
import { chooseKex, KexInit } from '../../../../../src/ssh/transport/negotiation.ts';

const offer = { kex: ['a', 'b', 'c'], serverHostKey: ['k', 'l'] };

function peer(kex: string[], serverHostKey: string[], firstKexPacketFollows = false): KexInit {
  return {
    cookie: Buffer.alloc(16, 9),
    kex,
    serverHostKey,
    cipherToServer: ['x'],
    cipherToClient: [],
    macToServer: [],
    macToClient: [],
    compressionToServer: ['none'],
    compressionToClient: ['none'],
    languagesToServer: [],
    languagesToClient: [],
    firstKexPacketFollows,
    reserved: 0,
  };
}

describe('the choice of a method', () => {
  test('the first of the client that the server has', () => {
    assert.equal(chooseKex(offer, peer(['z', 'c', 'a'], ['k'])).kex, 'c');
  });
  test('none in common is a KexError', () => {
    assert.throws(() => chooseKex(offer, peer(['z', ''], ['k'])), KexError);
    assert.throws(() => chooseKex(offer, peer([], ['k'])), KexError);
  });
  test('a guess is right only if both first names agree on both sides', () => {
    const wrong = (kex: string[], keys: string[]) =>
      chooseKex(offer, peer(kex, keys, true)).wrongGuess;
    assert.equal(wrong(['a'], ['k']), false);
    assert.equal(wrong(['b', 'a'], ['k']), true);
    assert.equal(wrong(['a'], ['l', 'k']), true);
    assert.equal(chooseKex(offer, peer(['b'], ['k'], false)).wrongGuess, false);
  });
  test('announcements are seen and are not methods', () => {
    assert.ok(chooseKex(offer, peer(['a', 'ext-info-c'], ['k'])).clientWantsExtInfo);
    assert.ok(!chooseKex(offer, peer(['a'], ['k'])).clientWantsExtInfo);
    assert.throws(() => chooseKex(offer, peer(['ext-info-c', 'ext-info-s'], ['k'])), KexError);
  });
});

describe('KEXINIT', () => {
  const whole = KexInit.encode(peer(['a', 'b'], ['k'], true));
  test('what is encoded is read again', () => {
    assert.deepEqual(KexInit.decode(whole), peer(['a', 'b'], ['k'], true));
  });
  test('cut at each offset it is refused', () => {
    for (let bytes = 1; bytes < whole.length; bytes++) {
      assert.throws(() => KexInit.decode(whole.subarray(0, bytes)), ProtocolError);
    }
    assert.throws(() => KexInit.decode(Buffer.concat([whole, Buffer.alloc(1)])), ProtocolError);
  });
});
