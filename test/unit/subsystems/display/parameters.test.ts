import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wantedGeometry } from '../../../../subsystems/display/commands/startsession.ts';
import {
  parseGeometry,
  parseParameters,
  unescapePercent,
} from '../../../../subsystems/display/parameters.ts';

test('parameters: every form that clients send, nothing else', () => {
  const good: readonly (readonly [string, Record<string, string>])[] = [
    ['', {}],
    ['  ', {}],
    ['--a="b"', { a: 'b' }],
    ['  --a="b"\t --C-d_1=""  ', { a: 'b', 'c-d_1': '' }],
    ['--a="1" --a="2"', { a: '2' }],
    ['--a="x=y --b=z"', { a: 'x=y --b=z' }],
    ['--a="b"&--c="d" & --e="f"', { a: 'b', c: 'd', e: 'f' }],
    ['--keyboard="pc105%2fus"', { keyboard: 'pc105/us' }],
  ];
  for (const [text, expected] of good) {
    assert.deepEqual(Object.fromEntries(parseParameters(text) ?? assert.fail(text)), expected);
  }
  for (const text of [
    'a',
    '--a',
    '--a=b',
    '--a="b',
    '--1="b"',
    '--a="b"--c="d"',
    '--a="b" x',
    '-a="b"',
    '&--a="b"',
  ]) {
    assert.equal(parseParameters(text), undefined, text);
  }
  assert.equal(parseParameters('--a="b" '.repeat(200)) instanceof Map, true);
  const many = Array.from({ length: 129 }, (_, index) => `--a${index}="b"`).join(' ');
  assert.equal(parseParameters(many), undefined);
});

test('percent escapes are undone once, as bytes of UTF-8', () => {
  assert.equal(unescapePercent('My%20session%C3%BC'), 'My sessionü');
  assert.equal(unescapePercent('%2520'), '%20');
  assert.equal(unescapePercent('100%'), '100%');
  assert.equal(unescapePercent('%zz%4'), '%zz%4');
});

test('geometries are read leniently', () => {
  const table: readonly (readonly [string, unknown])[] = [
    ['1280x800', { width: 1280, height: 800, depth: 0 }],
    ['800x600+10+20', { width: 800, height: 600, depth: 0 }],
    ['1024x768x2000', { width: 1024, height: 768, depth: 0 }],
    ['1024x768x24+render', { width: 1024, height: 768, depth: 24 }],
    ['0x0', undefined],
    ['fullscreen', undefined],
    ['9999999999x1', undefined],
    ['-1x-1', undefined],
  ];
  for (const [text, expected] of table) {
    assert.deepEqual(parseGeometry(text), expected, text);
  }
});

test('a geometry is bounded, falls back where it cannot be read and takes the screen when full', () => {
  const table: readonly (readonly [Record<string, string>, readonly number[]])[] = [
    [{}, [0, 0, 0]],
    [{ geometry: 'nonsense' }, [800, 600, 0]],
    [{ geometry: '99999x1' }, [16_384, 16, 0]],
    [{ geometry: 'fullscreen', screeninfo: '1920x1080x32+render' }, [1920, 1080, 24]],
    [{ geometry: '640x480', fullscreen: '1', screeninfo: '1920x1080x16' }, [1920, 1080, 16]],
    [{ geometry: '640x480', depth: '8' }, [640, 480, 16]],
    [{ geometry: '640x480', depth: '$(id)' }, [640, 480, 0]],
  ];
  for (const [parameters, expected] of table) {
    const { width, height, depth } = wantedGeometry(new Map(Object.entries(parameters)));
    assert.deepEqual([width, height, depth], expected, JSON.stringify(parameters));
  }
});
