import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NoAgreement, ProtocolError } from '../../../../../src/base/errors.ts';
import { chooseKex, KexInit } from '../../../../../src/ssh/transport/negotiation.ts';

const offer = {
  kex: ['a', 'b', 'c'],
  serverHostKey: ['k', 'l'],
  cipher: ['aes256-ctr', 'aes128-gcm@openssh.com'],
  mac: ['m'],
  compress: ['none'],
};

function peer(kex: string[], serverHostKey: string[], firstKexPacketFollows = false): KexInit {
  return {
    cookie: Buffer.alloc(16, 9),
    kex,
    serverHostKey,
    cipherToServer: ['x', 'aes128-gcm@openssh.com'],
    cipherToClient: ['aes256-ctr'],
    macToServer: [],
    macToClient: ['m'],
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
  test('none in common is a NoAgreement', () => {
    assert.throws(() => chooseKex(offer, peer(['z', ''], ['k'])), NoAgreement);
    assert.throws(() => chooseKex(offer, peer([], ['k'])), NoAgreement);
  });
  test('a guess is right only if both first names agree on both sides', () => {
    const wrong = (kex: string[], keys: string[]) =>
      chooseKex(offer, peer(kex, keys, true)).wrongGuess;
    assert.equal(wrong(['a'], ['k']), false);
    assert.equal(wrong(['b', 'a'], ['k']), true);
    assert.equal(wrong(['a'], ['l', 'k']), true);
    assert.equal(chooseKex(offer, peer(['b'], ['k'], false)).wrongGuess, false);
  });
  test('what else has to agree, in the words of sshd', () => {
    const cases: [Partial<KexInit>, string][] = [
      [{ serverHostKey: ['z', 'y'] }, 'no matching host key type found. Their offer: z,y'],
      [{ cipherToServer: ['x'] }, 'no matching cipher found. Their offer: x'],
      [{ cipherToClient: ['y'] }, 'no matching cipher found. Their offer: y'],
      [{ macToClient: ['n', 'o'] }, 'no matching MAC found. Their offer: n,o'],
      [
        { compressionToClient: ['zlib'] },
        'no matching compression method found. Their offer: zlib',
      ],
    ];
    for (const [change, detail] of cases) {
      assert.throws(() => chooseKex(offer, { ...peer(['a'], ['k']), ...change }), { detail });
    }
    // No MAC is asked for where the cipher brings its own.
    assert.equal(chooseKex(offer, { ...peer(['a'], ['k']), macToServer: ['z'] }).kex, 'a');
  });
  test('announcements are seen and are not methods', () => {
    assert.ok(chooseKex(offer, peer(['a', 'ext-info-c'], ['k'])).clientWantsExtInfo);
    assert.ok(!chooseKex(offer, peer(['a'], ['k'])).clientWantsExtInfo);
    assert.throws(() => chooseKex(offer, peer(['ext-info-c', 'ext-info-s'], ['k'])), NoAgreement);
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
