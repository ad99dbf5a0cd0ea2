/** What an X client says first to a forwarded display: in with the cookie, and with nothing else. */
import assert from 'node:assert/strict';
import { judgeSetup, refusalFor } from '../../../src/forwarding/x11-cookie.ts';
import type { FuzzTarget } from '../target.ts';

const protocol = Buffer.from('MIT-MAGIC-COOKIE-1');
const cookie = Buffer.alloc(16, 0xc0);

function setup(order: 'B' | 'l', name: Buffer, data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.write(order);
  const put = (value: number, at: number) =>
    order === 'B' ? head.writeUInt16BE(value, at) : head.writeUInt16LE(value, at);
  put(11, 2);
  put(name.length, 6);
  put(data.length, 8);
  const pad = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  return Buffer.concat([head, pad(name), pad(data)]);
}

export const x11Setup: FuzzTarget = {
  name: 'x11-setup',
  isStream: true,
  perSecond: 8_000,
  seeds: () => [
    setup('l', protocol, cookie),
    setup('B', protocol, cookie),
    setup('l', protocol, Buffer.alloc(16)),
    setup('B', Buffer.alloc(0), Buffer.alloc(0)),
    setup('l', protocol, Buffer.alloc(0)),
  ],
  async run(pieces) {
    let held = Buffer.alloc(0);
    let verdict: ReturnType<typeof judgeSetup> = 'more';
    for (const piece of pieces) {
      held = Buffer.concat([held, piece]);
      verdict = verdict === 'more' ? judgeSetup(held, protocol, cookie) : verdict;
      assert.ok(refusalFor(held[0]).length % 4 === 0);
    }
    const whole = judgeSetup(held, protocol, cookie);
    assert.equal(verdict, whole, 'the pieces make no difference');
    if (whole === 'right') {
      assert.ok(held.subarray(12, 30).equals(protocol));
      assert.ok(held.subarray(32, 48).equals(cookie));
    }
    if (whole === 'more') {
      assert.ok(held.length < 12 + 20 + 16, 'it waits for nothing');
    }
  },
};
