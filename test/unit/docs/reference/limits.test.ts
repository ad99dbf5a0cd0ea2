/** docs/reference/limits.md is what the sources say, and no bound is left out. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import * as base from '../../../../src/base/limits.ts';
import { brokerLimits } from '../../../../src/broker/limits.ts';
import { limits as transport } from '../../../../src/ssh/transport/limits.ts';
import {
  allLimits,
  limitReference,
  limitsOf,
  notOnThePage,
  privilegedBounds,
} from '../../../support/limit-reference.ts';

const path = new URL('../../../../docs/reference/limits.md', import.meta.url);

test('docs/reference/limits.md is what the sources say', () => {
  const text = limitReference();
  if (process.env.UPDATE_REFERENCE !== undefined) {
    writeFileSync(path, text);
  }
  assert.equal(readFileSync(path, 'utf8'), text);
});

test('the values read from the sources are the ones that run', () => {
  const read = (file: string) =>
    Object.fromEntries(limitsOf(file).map(({ name, value }) => [name, value]));
  assert.deepEqual(read('src/base/limits.ts'), { ...base });
  assert.deepEqual(read('src/ssh/transport/limits.ts'), { ...transport });
  const broker = read('src/broker/limits.ts');
  for (const [name, value] of Object.entries(brokerLimits)) {
    assert.equal(broker[name], value, name);
  }
});

test('every limit says why', () => {
  assert.deepEqual(
    allLimits()
      .filter(({ why }) => why === '')
      .map(({ file, name }) => `${file} ${name}`),
    [],
  );
});

test('every bound of the monitor and the broker is on the page', () => {
  const listed = new Set(allLimits().map(({ file, name }) => `${file} ${name}`));
  assert.deepEqual(
    privilegedBounds()
      .filter(({ file, name }) => !listed.has(`${file} ${name}`) && !notOnThePage.has(name))
      .map(({ file, name }) => `${file} ${name}`),
    [],
  );
});
