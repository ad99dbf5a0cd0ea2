/** docs/security/threat-model.md: every test that it calls as a witness exists, every line logged too. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { allLimits } from '../../support/limit-reference.ts';

const root = new URL('../../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const page = read('docs/security/threat-model.md');

test('every test file that is named is there', () => {
  const named = [...page.matchAll(/`(test\/[\w/.-]+\.test\.ts)`/g)].map(
    (match) => match[1] as string,
  );
  assert.ok(named.length > 20, `only ${named.length} were read`);
  assert.deepEqual(
    named.filter((path) => !existsSync(new URL(path, root))),
    [],
  );
});

test('every attack of a worker is named by the title of its test, and none is left out', () => {
  const quoted = [...page.matchAll(/\| "([^"]+)" \|/g)].map((match) => match[1] as string);
  const titles = [
    ...read('test/system/hostile-worker.test.ts').matchAll(/^ {2}test\((['"])(.*?)\1,/gm),
  ].map((match) => match[2] as string);
  assert.ok(titles.length >= 5);
  assert.deepEqual(quoted.toSorted(), titles.toSorted());
});

test('every line that is said to be logged is in the sources', () => {
  const sources = globSync('src/{process,monitor,broker,audit}/**/*.ts', { cwd: root })
    .map((path) => read(path))
    .join('\n');
  for (const text of [
    'monitor: refused',
    'internal error in',
    'confinement without',
    'beginning MaxStartups throttling',
    'Timeout before authentication',
    'maximum authentication attempts exceeded',
    'Invalid user',
  ]) {
    assert.ok(page.replaceAll('\n', ' ').includes(text), `the page does not say ${text}`);
    assert.ok(sources.includes(text), `nothing logs ${text}`);
  }
});

test('the numbers are those of the code', () => {
  const desktops = allLimits().find(({ name }) => name === 'desktopsPerUser')?.value;
  assert.ok(page.includes(`${desktops} desktops a user`));
});
