/** What an X client says first, and whether it has the cookie. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  admissionByCookie,
  judgeSetup,
  refusalFor,
} from '../../../../src/forwarding/x11-cookie.ts';

const name = Buffer.from('MIT-MAGIC-COOKIE-1');
const cookie = Buffer.from('00112233445566778899aabbccddeeff', 'hex');

function setup(order: 'B' | 'l', given = cookie, protocol = name): Buffer {
  const head = Buffer.alloc(12);
  head.write(order);
  for (const [value, at] of [
    [11, 2],
    [protocol.length, 6],
    [given.length, 8],
  ] as const) {
    if (order === 'B') {
      head.writeUInt16BE(value, at);
    } else {
      head.writeUInt16LE(value, at);
    }
  }
  const pad = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
  return Buffer.concat([head, pad(protocol), pad(given)]);
}

for (const order of ['B', 'l'] as const) {
  test(`order ${order}: right when complete and not a byte earlier, whatever follows`, () => {
    const bytes = setup(order);
    for (let length = 0; length < bytes.length; length++) {
      assert.equal(judgeSetup(bytes.subarray(0, length), name, cookie), 'more', `${length}`);
    }
    assert.equal(judgeSetup(bytes, name, cookie), 'right');
    assert.equal(judgeSetup(Buffer.concat([bytes, bytes]), name, cookie), 'right');
  });

  test(`order ${order}: another cookie, name or length, or none, is wrong`, () => {
    const others = [
      setup(order, Buffer.alloc(16)),
      setup(order, cookie.subarray(0, 15)),
      setup(order, Buffer.concat([cookie, cookie])),
      setup(order, Buffer.alloc(0)),
      setup(order, cookie, Buffer.from('MIT-MAGIC-COOKIE-2')),
      setup(order, Buffer.alloc(0), Buffer.alloc(0)),
      setup(order, Buffer.alloc(0xffff), Buffer.alloc(0xffff)),
    ];
    for (const bytes of others) {
      assert.equal(judgeSetup(bytes, name, cookie), 'wrong');
    }
    for (let at = 12; at < 12 + name.length; at++) {
      const spoiled = setup(order);
      spoiled[at] = (spoiled[at] as number) ^ 1;
      assert.equal(judgeSetup(spoiled, name, cookie), 'wrong', `${at}`);
    }
  });
}

test('lengths that are known to be wrong are not waited for', () => {
  assert.equal(judgeSetup(setup('l', Buffer.alloc(20)).subarray(0, 12), name, cookie), 'wrong');
});

test('any first byte but the two orders is wrong', () => {
  for (let first = 0; first < 256; first++) {
    const expected = first === 0x42 || first === 0x6c ? 'more' : 'wrong';
    assert.equal(judgeSetup(Buffer.of(first), name, cookie), expected);
  }
});

test('the refusal has the lengths that it announces, in the order of the asker', () => {
  const big = refusalFor(0x42);
  const little = refusalFor(0x6c);
  assert.deepEqual([big[0], big.readUInt16BE(2), big.readUInt16BE(6) * 4 + 8], [0, 11, big.length]);
  assert.equal(little.readUInt16LE(6) * 4 + 8, little.length);
  assert.match(
    little.subarray(8, 8 + (little[1] as number)).toString(),
    /^Wrong authorization .*y$/,
  );
});

test('cookies in hexadecimal digits of either case; what cannot be compared is left to the client', () => {
  const admission = admissionByCookie(name, Buffer.from(cookie.toString('hex').toUpperCase()));
  assert.equal(admission?.judge(setup('l')), 'right');
  assert.equal(admissionByCookie(Buffer.from('XDM-AUTHORIZATION-1'), Buffer.from('00')), undefined);
});

test('random bytes are never right and never throw', () => {
  let state = 12345;
  const next = (): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state >>> 16;
  };
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(setup(round % 2 === 0 ? 'B' : 'l'));
    const at = next() % 48;
    if (at < 12 + name.length || at >= 12 + 20) {
      bytes[at] = ((bytes[at] as number) + 1 + (next() % 255)) & 0xff;
      // What is not looked at: the unused byte and the version.
      const isLooked = ![1, 2, 3, 4, 5, 10, 11].includes(at);
      const judged = judgeSetup(bytes.subarray(0, next() % (bytes.length + 1)), name, cookie);
      assert.ok(!isLooked || judged !== 'right', `${at}`);
    }
  }
});
