/** What the pages say of keywords and commands, and where they point. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { commands } from '../../../src/cli/commands/index.ts';
import { acceptedKeywords, meaninglessKeywords } from '../../../src/policy/other-keywords.ts';
import { fixedKeywords, inertKeywords } from '../../../src/policy/fixed-keywords.ts';
import { serverKeywords } from '../../../src/policy/server-keywords.ts';

const root = path.resolve(import.meta.dirname, '../../..');
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
const pages = [
  'README.md',
  'CHANGELOG.md',
  'SECURITY.md',
  ...globSync('docs/**/*.md', { cwd: root }),
];

function words(text: string | undefined): string[] {
  return (text ?? '').split(/[\s,]+/).filter(Boolean);
}

test('the guide to stand in for sshd names the keywords that are honoured, and no other', () => {
  const page = read('docs/guide/instead-of-sshd.md');
  const honoured = /Honoured now: ([\w\s,]+)\./.exec(page)?.[1];
  assert.deepEqual(
    words(honoured).toSorted(),
    [
      ...['Include', 'Match'],
      ...serverKeywords
        .filter((row) => !fixedKeywords.includes(row) && !inertKeywords.includes(row))
        .map(({ name }) => name),
    ].toSorted(),
  );
  const fixed = /said to be off[^:]*:\s([\w\s,]+)\./.exec(page)?.[1];
  assert.deepEqual(words(fixed).toSorted(), fixedKeywords.map(({ name }) => name).toSorted());
  const checked = /Checked, without effect[^:]*:\s([\w\s,]+)\./.exec(page)?.[1];
  assert.deepEqual(
    words(checked).toSorted(),
    [...inertKeywords.map(({ name }) => name), ...meaninglessKeywords].toSorted(),
  );
  const accepted = /not in effect yet:\s([\w\s,]+)\./.exec(page)?.[1];
  assert.deepEqual(words(accepted).toSorted(), [...acceptedKeywords].toSorted());
});

test('every link between pages leads somewhere', () => {
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1] as string)
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => !existsSync(path.resolve(root, path.dirname(page), target)))
      .map((target) => `${page}: ${target}`),
  );
  assert.ok(pages.length > 10);
  assert.deepEqual(broken, []);
});

test('every ./sshdesk COMMAND on a page exists', () => {
  const names = new Set(commands.map(({ name }) => name));
  const unknown = pages.flatMap((page) =>
    [...read(page).matchAll(/\.\/sshdesk ([a-z]+)/g)]
      .filter((match) => !names.has(match[1] as string))
      .map((match) => `${page}: ${match[0]}`),
  );
  assert.deepEqual(unknown, []);
});
