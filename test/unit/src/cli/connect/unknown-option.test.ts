import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstUnknownOption } from '../../../../../src/cli/connect/unknown-option.ts';

const known = new Map([
  ['i', true],
  ['p', true],
  ['listen', true],
  ['batch', false],
  ['list', false],
]);

test('a mistyped option is named as it was typed', () => {
  for (const [words, wrong] of [
    [['--lisst', 'host'], '--lisst'],
    [['--listne=5901', 'host'], '--listne'],
    [['-i', 'key', '-x', 'host'], '-x'],
    [['--batch', '--geometrie', '1x1', 'host'], '--geometrie'],
  ] as const) {
    assert.equal(firstUnknownOption(words, known), wrong);
  }
});

test('what is none is not: values, glued values, a host, what is behind --', () => {
  for (const words of [
    ['-i', '-odd-name', 'host'],
    ['-i-odd', '-p2222', 'host'],
    ['--listen', '5901', '--no-batch', '--list', 'host'],
    ['--', '--lisst'],
    ['-', 'host'],
    [],
  ]) {
    assert.equal(firstUnknownOption(words, known), undefined, words.join(' '));
  }
});
