/** What the pages say of keywords and commands, and where they point. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { commands } from '../../../src/cli/commands/index.ts';
import { meaninglessKeywords } from '../../../src/policy/other-keywords.ts';
import { serverKeywords } from '../../../src/policy/server-keywords.ts';

const root = path.resolve(import.meta.dirname, '../../..');
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
const pages = [
  'README.md',
  'CHANGELOG.md',
  'SECURITY.md',
  ...globSync('docs/**/*.md', { cwd: root }),
];

function namesOf(effect: 'fixed' | 'checked'): readonly string[] {
  return serverKeywords.filter((row) => row.effect === effect).map(({ name }) => name);
}

/** The lists of the guide: what stands before each, and the keywords. */
const listed: readonly (readonly [before: string, names: readonly string[]])[] = [
  [
    'Honoured now',
    [
      ...['Include', 'Match'],
      ...serverKeywords.filter((row) => row.effect === undefined).map(({ name }) => name),
    ],
  ],
  ['Only said to be off, or as sshd has them without a line', namesOf('fixed')],
  [
    'Checked, without effect, since what they are about is not offered or not here',
    [...namesOf('checked'), ...meaninglessKeywords],
  ],
];

/** `before: A, B, C.` in lines of 100 characters. */
function list(before: string, names: readonly string[]): string {
  const lines = [''];
  const sorted = names.length === 0 ? ['nothing'] : names.toSorted();
  for (const word of `${before}: ${sorted.join(', ')}.`.split(' ')) {
    const line = lines.at(-1) as string;
    if (line.length + word.length >= 100) {
      lines.push(word);
    } else {
      lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
    }
  }
  return lines.join('\n');
}

test('the guide to stand in for sshd names the keywords that are honoured, and no other', () => {
  const file = 'docs/guide/instead-of-sshd.md';
  const text = listed.map(([before, names]) => list(before, names)).join('\n\n');
  const [begin, end] = ['<!-- keywords -->\n', '\n<!-- end of keywords -->'];
  const page = read(file);
  const [from, to] = [page.indexOf(begin) + begin.length, page.indexOf(end)];
  assert.ok(from > 0 && to > from, 'the marks of the lists');
  if (process.env.UPDATE_REFERENCE !== undefined) {
    writeFileSync(path.join(root, file), `${page.slice(0, from)}${text}${page.slice(to)}`);
    return;
  }
  assert.equal(page.slice(from, to), text);
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
