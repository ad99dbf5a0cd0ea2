/** docs/security/incidents.md: every row is answered, what it names is there, nothing is left out. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const root = new URL('../../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const page = read('docs/security/incidents.md');

interface Row {
  readonly number: number;
  readonly incident: string;
  readonly here: string;
  readonly witnesses: readonly { readonly file: string; readonly title: string }[];
}

const rows: readonly Row[] = page
  .split('\n')
  .filter((line) => /^\| \d+ \|/.test(line))
  .map((line) => {
    const [number = '', incident = '', , here = '', shown = ''] = line
      .slice(1, -1)
      .split(' | ')
      .map((cell) => cell.trim());
    const witnesses = [...shown.matchAll(/`(test\/[\w/.-]+\.test\.ts)`((?:,? "[^"]+")+)/g)].flatMap(
      ([, file = '', titles = '']) =>
        [...titles.matchAll(/"([^"]+)"/g)].map(([, title = '']) => ({ file, title })),
    );
    return { number: Number(number), incident, here, witnesses };
  });

/** Titles as they stand in a source, with the quotes of the source taken off. */
function hasTitle(file: string, title: string): boolean {
  const source = read(file).replaceAll("\\'", "'").replaceAll(/\\`/g, '`');
  return ['"', "'", '`'].some((quote) => source.includes(quote + title));
}

test('the rows are numbered without a gap', () => {
  assert.deepEqual(
    rows.map(({ number }) => number),
    Array.from({ length: 77 }, (_, index) => index + 1),
  );
});

test('every row is shown by a test, or says why there is none', () => {
  const unanswered = rows
    .filter(({ here, witnesses }) => witnesses.length === 0 && !/^Not (ours|yet): \S/.test(here))
    .map(({ number }) => number);
  assert.deepEqual(unanswered, []);
});

test('every test that is named exists under that name', () => {
  const missing = rows
    .flatMap(({ witnesses }) => witnesses)
    .filter(({ file, title }) => !existsSync(new URL(file, root)) || !hasTitle(file, title))
    .map(({ file, title }) => `${file}: ${title}`);
  assert.deepEqual(missing, []);
  assert.ok(rows.flatMap(({ witnesses }) => witnesses).length >= 40);
});

test('every test that is named after an incident is on the page', () => {
  const files = globSync('test/interop/incidents/*.test.ts', { cwd: root });
  assert.ok(files.length >= 4);
  const named = new Set(
    files.flatMap((file) =>
      [
        ...read(file).matchAll(
          /['"`]((?:CVE-|asyncssh |xrdp |mscdex\/|TurboVNC#|proftpd#)[^:]*):/g,
        ),
      ].map(([, incident = '']) => incident),
    ),
  );
  assert.ok(named.size >= 15);
  const absent = [...named].filter((incident) => !page.includes(`"${incident}: `));
  assert.deepEqual(absent, []);
});
