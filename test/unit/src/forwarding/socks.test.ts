/** SOCKS 4, 4a and 5 as a forwarder reads them, whole, byte by byte and hostile. Runs in: test. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import {
  SocksDialogue,
  socksOutcome,
  type SocksStep,
  socksRequestBytes,
} from '../../../../src/forwarding/socks.ts';

const name = Buffer.from('intranet.example');
const greeting = [5, 1, 0];
const requests: readonly (readonly [string, readonly number[], string, number])[] = [
  ['5, a name', [...greeting, 5, 1, 0, 3, name.length, ...name, 1, 187], String(name), 443],
  ['5, IPv4', [...greeting, 5, 1, 0, 1, 10, 0, 0, 7, 0, 80], '10.0.0.7', 80],
  ['5, IPv6', [...greeting, 5, 1, 0, 4, ...Array(15).fill(0), 1, 0, 22], '0:0:0:0:0:0:0:1', 22],
  ['5, several methods', [5, 3, 2, 1, 0, 5, 1, 0, 1, 1, 2, 3, 4, 0, 1], '1.2.3.4', 1],
  ['4', [4, 1, 0, 80, 10, 0, 0, 7, 117, 0], '10.0.0.7', 80],
  ['4, no user', [4, 1, 0, 80, 10, 0, 0, 7, 0], '10.0.0.7', 80],
  ['4a', [4, 1, 0, 80, 0, 0, 0, 1, 117, 0, ...name, 0], String(name), 80],
];

/** Gives the bytes in pieces of `size`, as a client would; the last step and all replies. */
function talk(bytes: Buffer, size: number): { last: SocksStep; replies: Buffer; used: number } {
  const dialogue = new SocksDialogue();
  const replies: Buffer[] = [];
  let last: SocksStep = { is: 'more', reply: null };
  for (let end = size; end < bytes.length + size; end += size) {
    const soFar = bytes.subarray(0, end);
    do {
      last = dialogue.take(soFar.subarray(0, socksRequestBytes));
      if (last.is === 'more' && last.reply) replies.push(last.reply);
    } while (last.is === 'more' && last.reply !== null);
    if (last.is !== 'more') break;
  }
  return { last, replies: Buffer.concat(replies), used: last.is === 'connect' ? last.used : -1 };
}

for (const [what, bytes, host, port] of requests) {
  test(`${what}: whole, byte by byte, and what follows is left alone`, () => {
    const request = Buffer.from(bytes);
    for (const size of [1, 2, 3, request.length]) {
      for (const more of [Buffer.alloc(0), Buffer.from('GET / HTTP/1.0\r\n')]) {
        const { last, replies, used } = talk(Buffer.concat([request, more]), size);
        assert.deepEqual(last.is === 'connect' && last.target, { host, port });
        assert.equal(used, request.length);
        assert.deepEqual(replies, bytes[0] === 5 ? Buffer.from([5, 0]) : Buffer.alloc(0));
      }
    }
  });
}

test('the client learns what became of its target', () => {
  const five = new SocksDialogue();
  five.take(Buffer.from(greeting));
  assert.deepEqual([...five.reply('granted')], [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  assert.equal(five.reply(socksOutcome(1))[1], 2);
  assert.equal(five.reply(socksOutcome(2))[1], 4);
  const four = new SocksDialogue();
  four.take(Buffer.from([4, 1, 0, 80, 10, 0, 0, 7, 0]));
  assert.deepEqual([...four.reply('granted')], [0, 0x5a, 0, 0, 0, 0, 0, 0]);
  assert.equal(four.reply('failed')[1], 0x5b);
});

const refused: readonly (readonly [string, readonly number[], readonly number[]])[] = [
  ['HTTP', [...Buffer.from('CONNECT a:1 HTTP/1.1')], []],
  ['only with a password', [5, 1, 2], [5, 0xff]],
  ['no method at all', [5, 0], [5, 0xff]],
  ['BIND', [...greeting, 5, 2, 0, 1, 1, 2, 3, 4, 0, 1], [5, 7, 0, 1, 0, 0, 0, 0, 0, 0]],
  ['another address type', [...greeting, 5, 1, 0, 9, 1], [5, 8, 0, 1, 0, 0, 0, 0, 0, 0]],
  ['an empty name', [...greeting, 5, 1, 0, 3, 0, 0, 80], [5, 1, 0, 1, 0, 0, 0, 0, 0, 0]],
  ['a name with a blank', [...greeting, 5, 1, 0, 3, 1, 32, 0, 80], [5, 1, 0, 1, 0, 0, 0, 0, 0, 0]],
  ['a name with NUL', [...greeting, 5, 1, 0, 3, 2, 97, 0, 0, 80], [5, 1, 0, 1, 0, 0, 0, 0, 0, 0]],
  ['port 0', [...greeting, 5, 1, 0, 1, 1, 2, 3, 4, 0, 0], [5, 1, 0, 1, 0, 0, 0, 0, 0, 0]],
  ['BIND of 4', [4, 2, 0, 80, 10, 0, 0, 7, 0], [0, 0x5b, 0, 0, 0, 0, 0, 0]],
  ['a user name without end', [4, 1, 0, 80, 10, 0, 0, 7, ...Array(400).fill(97)], [0, 0x5b]],
  ['a name without end', [4, 1, 0, 80, 0, 0, 0, 1, 0, ...Array(400).fill(97)], [0, 0x5b]],
];

for (const [what, bytes, reply] of refused) {
  test(`${what} is refused`, () => {
    const { last } = talk(Buffer.from(bytes), 1);
    assert.ok(last.is === 'refused');
    assert.deepEqual([...last.reply.subarray(0, reply.length)], reply);
  });
}

test('whatever comes, a dialogue ends within its bound', () => {
  for (let round = 0; round < 3000; round += 1) {
    const bytes = randomBytes(2 * socksRequestBytes);
    bytes[0] = round % 2 === 0 ? 4 : 5;
    if (round % 3 === 0) bytes.set([5, 1, 0, 5, 1, 0, 3], 0);
    const { last } = talk(bytes, 1 + (round % 97));
    assert.notEqual(last.is, 'more');
    if (last.is === 'connect') {
      assert.ok(last.used <= socksRequestBytes);
      assert.match(last.target.host, /^[\x21-\x7e]{1,255}$/);
    }
  }
});
