/**
 * Texts of a server on a terminal.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable, printableLine } from '../../../../../src/cli/connect/printable.ts';

test('no control character survives but newline and tab', () => {
  const all = Array.from({ length: 0x2100 }, (_value, code) => String.fromCharCode(code)).join('');
  const shown = printable(all);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  assert.doesNotMatch(shown, /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/);
  assert.ok(shown.includes('\n') && shown.includes('\t') && shown.includes('é'));
});

test('a carriage return cannot overwrite what stands before it', () => {
  assert.equal(printable('safe\rfake\r\n'), 'safe\\x0dfake\n');
});

test('a line stays one line, and a flood is cut', () => {
  assert.equal(printableLine(' a\nb\tc '), 'a b c');
  assert.ok(printable('x'.repeat(1_000_000)).length < 20_000);
});
