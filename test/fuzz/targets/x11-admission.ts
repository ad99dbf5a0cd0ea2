/** What an X client says first, in pieces: only who shows name and cookie is let in, and whole. */
import assert from 'node:assert/strict';
import { HeldSource } from '../../../src/forwarding/held-source.ts';
import { admissionByCookie } from '../../../src/forwarding/x11-cookie.ts';
import type { FuzzTarget } from '../target.ts';

const name = Buffer.from('MIT-MAGIC-COOKIE-1');
const cookie = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const setupBytes = 48;

function setup(order: 'B' | 'l', given: Buffer, protocol = name): Buffer {
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

export const x11Admission: FuzzTarget = {
  name: 'x11-admission',
  isStream: true,
  perSecond: 10_000,
  seeds: () => [
    setup('l', cookie),
    setup('B', cookie),
    Buffer.concat([
      setup('l', cookie),
      Buffer.from([98, 0, 3, 0, 4, 0, 0, 0, 0x58, 0x46, 0x58, 0]),
    ]),
    setup('l', Buffer.alloc(16)),
    setup('B', Buffer.alloc(0), Buffer.alloc(0)),
    setup('l', cookie, Buffer.from('XDM-AUTHORIZATION-1')),
  ],
  async run(pieces) {
    const admission = admissionByCookie(name, Buffer.from(cookie.toString('hex')));
    assert.ok(admission);
    let give: (chunk: Buffer) => void = () => {};
    const socket = {
      start: (take: (chunk: Buffer) => void) => {
        give = take;
      },
      pause: () => {},
      resume: () => {},
      destroy: () => {},
    };
    const state: { judged: 'more' | 'right' | 'wrong' } = { judged: 'more' };
    const passed: Buffer[] = [];
    const source: HeldSource = new HeldSource(
      socket,
      (soFar) => {
        const judged = admission.judge(soFar);
        state.judged = judged;
        assert.ok(judged !== 'more' || soFar.length < setupBytes, 'held without end');
        if (judged === 'wrong') {
          assert.ok(admission.refusal(soFar).length % 4 === 0);
        } else if (judged === 'right') {
          source.start(
            (chunk) => passed.push(Buffer.from(chunk)),
            () => {},
          );
        }
      },
      () => {},
    );
    for (const piece of pieces) {
      if (state.judged !== 'wrong') {
        give(piece);
      }
    }
    const input = Buffer.concat(pieces);
    if (state.judged === 'right') {
      assert.ok(input.subarray(12, 30).equals(name) && input.subarray(32, 48).equals(cookie));
      assert.ok(Buffer.concat(passed).equals(input), 'not a byte is lost or changed');
    } else {
      assert.deepEqual(passed, []);
    }
  },
};
