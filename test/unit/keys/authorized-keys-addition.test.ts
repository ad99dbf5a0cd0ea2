/** A key that is added: what stood in the file stays, whatever it was. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkOptions, withKeys } from '../../../keys/authorized-keys-addition.ts';
import { matchKey } from '../../../keys/authorized-keys.ts';
import { generateKey } from '../../../keys/keygen.ts';
import { publicLine } from '../../../keys/public-key.ts';
import { ConfigError } from '../../../src/base/errors.ts';
import { Mutator } from '../../support/mutator.ts';

const { key } = generateKey({ type: 'ed25519' });
const addition = { blob: key.publicBlob, options: '', comment: 'me' };
const line = publicLine(key.publicBlob);
const use = { nowMs: 0, remoteAddress: '192.0.2.7', remoteHost: '192.0.2.7' };

test('a comment cannot begin another line or be endless', () => {
  const { content } = withKeys(Buffer.alloc(0), [
    { ...addition, comment: `a\nssh-rsa AAAA\u2028\u0085\0b ${'x'.repeat(900)}` },
  ]);
  const text = content?.toString() ?? '';
  assert.equal(text.indexOf('\n'), text.length - 1);
  assert.ok(text.startsWith(`${line} a ssh-rsa AAAA   b xxx`));
  assert.ok(text.length < line.length + 210);
});

test('a key in a comment or as a part of another is not there', () => {
  for (const before of [`# ${line}\n`, `${line}AAAA\n`, `nonsense="x ${line}"\n`]) {
    assert.equal(withKeys(Buffer.from(before), [addition]).keys[0]?.state, 'added', before);
  }
  const there = withKeys(Buffer.from(`\n\trestrict ${line}== old\n`), [addition]);
  assert.deepEqual(there, {
    content: undefined,
    keys: [{ state: 'different', line: 2, options: 'restrict' }],
  });
});

test('the same key twice in one order is added once', () => {
  const { keys } = withKeys(Buffer.from('x'), [addition, addition]);
  assert.deepEqual(
    keys.map(({ state, line: number }) => [state, number]),
    [
      ['added', 2],
      ['present', 2],
    ],
  );
});

test('options that would spoil a line, or begin one', () => {
  for (const options of [
    'x',
    'restrict,',
    'restrict, pty',
    'command="a\nb"',
    'command="a',
    ' ',
    'no-no-pty',
  ]) {
    if (options === 'restrict,') {
      checkOptions(options);
    } else {
      assert.throws(() => checkOptions(options), ConfigError, options);
    }
  }
  checkOptions('');
  checkOptions('restrict,command="a b, \\"c\\"",from="10.0.0.0/8"');
});

test('whatever stood there, it stands there still, and the key is found', {
  timeout: 20_000,
}, () => {
  const mutator = new Mutator(20_261_121);
  const other = generateKey({ type: 'ed25519' }, 'other').publicFile;
  const base = Buffer.from(`# a\n\nrestrict ${other}command="x" ${other}`);
  for (let run = 0; run < 3000; run++) {
    const before = mutator.bytes(base);
    const { content, keys } = withKeys(before, [addition]);
    assert.ok(content !== undefined);
    assert.ok(content.subarray(0, before.length).equals(before), mutator.name);
    const found = matchKey(content, key.publicBlob, use);
    assert.equal(found.is, 'match', mutator.name);
    assert.equal(found.is === 'match' && found.line, keys[0]?.line, mutator.name);
  }
});
