import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { maxShownBytes, readShownFile } from '../../../../src/monitor/shown-file.ts';

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'shown-file-'));
});
after(() => rmSync(folder, { recursive: true }));

async function shown(path: string): Promise<readonly [text: string | undefined, why: string]> {
  let why = '';
  const text = await readShownFile(path, (reason) => {
    why = reason;
  });
  return [text?.toString(), why];
}

test('a file is shown up to its bound; what is more, or no file, is not, and why is said', async () => {
  const file = join(folder, 'issue');
  writeFileSync(file, 'Hello.\n');
  assert.deepEqual(await shown(file), ['Hello.\n', '']);
  writeFileSync(file, 'x'.repeat(maxShownBytes));
  assert.equal((await shown(file))[0]?.length, maxShownBytes);
  writeFileSync(file, 'x'.repeat(maxShownBytes + 1));
  assert.deepEqual(await shown(file), ['', `more than ${maxShownBytes} bytes`]);
  assert.deepEqual(await shown(folder), ['', 'not a regular file']);
  const [text, why] = await shown(join(folder, 'nothing'));
  assert.equal(text, undefined);
  assert.match(why, /ENOENT/);
});

test('a pipe that nobody writes to holds nobody up', { timeout: 10_000 }, async () => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  assert.deepEqual(await shown(pipe), ['', 'not a regular file']);
});
