/** The reference of the log says what the tables say. */
import assert from 'node:assert/strict';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { events } from '../../../../src/audit/events.ts';
import { test } from 'node:test';
import { differenceTable, eventTable, fieldTable } from '../../../support/log-reference.ts';

const path = new URL('../../../../docs/reference/log.md', import.meta.url);

function withTable(text: string, head: string, table: string): string {
  const begin = text.indexOf(head);
  assert.ok(begin >= 0, `no table begins with ${head}`);
  const end = text.indexOf('\n\n', begin);
  return `${text.slice(0, begin)}${table}${end < 0 ? '\n' : text.slice(end)}`;
}

test('docs/reference/log.md has the fields and events of the tables', () => {
  const text = readFileSync(path, 'utf8');
  let made = withTable(text, '| field | value |', fieldTable());
  made = withTable(made, '| event | when |', eventTable());
  made = withTable(made, '| line | in the log of |', differenceTable());
  if (process.env.UPDATE_REFERENCE !== undefined) {
    writeFileSync(path, made);
  }
  assert.equal(readFileSync(path, 'utf8'), made);
});

test('every event of the table happens somewhere', () => {
  const root = new URL('../../../../src/', import.meta.url);
  const sources = globSync('**/*.ts', { cwd: root })
    .filter((file) => file !== 'audit/events.ts')
    .map((file) => readFileSync(new URL(file, root), 'utf8'))
    .join('\n');
  assert.deepEqual(
    Object.keys(events).filter((name) => !sources.includes(`'${name}'`)),
    [],
  );
});
