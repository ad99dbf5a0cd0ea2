import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VersionError } from '../../../../../src/base/errors.ts';
import { IdentificationReader } from '../../../../../src/ssh/transport/identification.ts';

const right: readonly (readonly [line: string, text: string])[] = [
  ['SSH-2.0-a\r\n', 'SSH-2.0-a'],
  ['SSH-2.0-a\n', 'SSH-2.0-a'],
  ['SSH-1.99-old_one with words\r\n', 'SSH-1.99-old_one with words'],
  ['SSH-2.0-\xe4\r\n', 'SSH-2.0-\xe4'],
];
for (const [line, text] of right) {
  test(`${JSON.stringify(line)} in every two pieces; what is behind it stays`, () => {
    const bytes = Buffer.from(`${line}rest`, 'latin1');
    for (let cut = 0; cut < line.length; cut++) {
      const reader = new IdentificationReader();
      const first = reader.take(bytes.subarray(0, cut));
      assert.deepEqual(first, { end: cut, found: undefined });
      assert.equal(reader.isDone, false);
      const { end, found } = reader.take(bytes.subarray(cut));
      assert.equal(cut + end, line.length);
      assert.equal(found?.text, text);
      assert.deepEqual(found?.bytes, Buffer.from(text, 'latin1'));
      assert.equal(reader.isDone, true);
    }
  });
}

for (const line of [
  'GET / HTTP/1.0\r\n',
  'SSH-1.5-a\r\n',
  'SSH-3.0-a\r\n',
  'SSH-2.0-\r\n',
  'SSH-2.0- a\r\n',
  'SSH-2.0-a\0b\r\n',
  'SSH-2.0-a\rb\r\n',
  'ssh-2.0-a\r\n',
  '\r\n',
  `SSH-2.0-${'a'.repeat(246)}\r\n`,
]) {
  test(`${JSON.stringify(line.slice(0, 30))} is refused`, () => {
    assert.throws(() => new IdentificationReader().take(Buffer.from(line)), VersionError);
  });
}

test('255 bytes are the most, without an end too', () => {
  const longest = `SSH-2.0-${'a'.repeat(245)}\r\n`;
  assert.equal(new IdentificationReader().take(Buffer.from(longest)).end, 255);
  const reader = new IdentificationReader();
  reader.take(Buffer.alloc(200, 'a'));
  assert.throws(() => reader.take(Buffer.alloc(56, 'a')), VersionError);
});
