/** docs/reference/requests.md is the table of the monitor, and the table keeps its promises. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import * as desktopLink from '../../../../src/broker/link.ts';
import * as monitorLink from '../../../../src/monitor/link.ts';
import { monitorRows, requestReference } from '../../../support/request-reference.ts';

const path = new URL('../../../../docs/reference/requests.md', import.meta.url);

test('docs/reference/requests.md is what the table says', async () => {
  const text = await requestReference();
  if (process.env.UPDATE_REFERENCE !== undefined) {
    writeFileSync(path, text);
  }
  assert.equal(readFileSync(path, 'utf8'), text);
});

test('every call declared between worker and monitor has its row, and only one', async () => {
  const declared = [...Object.values(monitorLink), ...Object.values(desktopLink)]
    .filter((one) => typeof one === 'object' && one !== null && 'reply' in one)
    .map((one) => (one as { readonly name: string }).name);
  const names = (await monitorRows()).map(({ schema }) => schema.name);
  assert.deepEqual(names.toSorted(), declared.toSorted());
  assert.ok(names.length >= 20, `only ${names.length} rows were read`);
});

test('what decides runs one at a time and only before authentication', async () => {
  for (const { schema, phase, decides, serial } of await monitorRows()) {
    if (decides) {
      assert.ok(serial, schema.name);
      assert.deepEqual([...phase], ['preauth'], schema.name);
    }
  }
});
