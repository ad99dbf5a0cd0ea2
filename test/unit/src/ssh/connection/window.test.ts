import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProtocolError } from '../../../../../src/base/errors.ts';
import {
  HeldBytes,
  InboundWindow,
  OutboundWindow,
} from '../../../../../src/ssh/connection/window.ts';

test('an inbound window lets exactly its bytes in', () => {
  const window = new InboundWindow(100, 60, 10);
  window.take(60);
  window.take(40);
  assert.throws(() => window.take(1), ProtocolError);
});

test('a message above the announced maximum is refused though the window has room', () => {
  assert.throws(() => new InboundWindow(1000, 60, 10).take(61), ProtocolError);
});

test('the window is given back in steps', () => {
  const window = new InboundWindow(100, 60, 30);
  window.take(60);
  assert.equal(window.consume(29), 0);
  assert.equal(window.consume(2), 31);
  assert.equal(window.leftBytes, 71);
  assert.equal(window.consume(29), 0);
});

test('an outbound window grows to 2^32 - 1 and not further', () => {
  const window = new OutboundWindow(0xffff_fff0);
  window.adjust(0x0f);
  assert.equal(window.leftBytes, 0xffff_ffff);
  assert.throws(() => window.adjust(1), ProtocolError);
});

test('more than 4 GiB go through one outbound window', () => {
  const window = new OutboundWindow(0);
  let sent = 0;
  for (let turn = 0; turn < 5; turn++) {
    window.adjust(0xffff_ffff);
    sent += window.leftBytes;
    window.use(window.leftBytes);
  }
  assert.equal(sent, 5 * 0xffff_ffff);
  assert.equal(window.leftBytes, 0);
});

test('held bytes come out in order whatever their sizes', () => {
  const held = new HeldBytes();
  const parts = [1, 5000, 40_000, 3, 600, 16_384, 2].map((size, index) =>
    Buffer.alloc(size, index + 1),
  );
  for (const part of parts) {
    held.push(part);
  }
  const out: Buffer[] = [];
  while (!held.isEmpty) {
    out.push(held.shift());
  }
  assert.deepEqual(Buffer.concat(out), Buffer.concat(parts));
});

test('one-byte pieces are gathered into a few', () => {
  const held = new HeldBytes();
  for (let index = 0; index < 100_000; index++) {
    held.push(Buffer.from([index & 0xff]));
  }
  let pieces = 0;
  let bytes = 0;
  while (!held.isEmpty) {
    bytes += held.shift().length;
    pieces++;
  }
  assert.equal(bytes, 100_000);
  assert.ok(pieces <= 4, `${pieces} pieces`);
});

test('held small pieces do not share memory with what was read', () => {
  const held = new HeldBytes();
  const read = Buffer.from('abc');
  held.push(read);
  read.fill(0);
  assert.equal(held.shift().toString(), 'abc');
});
