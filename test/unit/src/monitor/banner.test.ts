import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { maxBannerBytes, readBanner } from '../../../../src/monitor/banner.ts';

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'banner-'));
});
after(() => rmSync(folder, { recursive: true }));

async function shown(path: string): Promise<readonly [text: string, why: string]> {
  let why = '';
  const text = await readBanner(path, (reason) => {
    why = reason;
  });
  return [text.toString(), why];
}

test('a file is shown up to its bound; what is more, or no file, is not, and why is said', async () => {
  const file = join(folder, 'issue');
  writeFileSync(file, 'Hello.\n');
  assert.deepEqual(await shown(file), ['Hello.\n', '']);
  writeFileSync(file, 'x'.repeat(maxBannerBytes));
  assert.equal((await shown(file))[0].length, maxBannerBytes);
  writeFileSync(file, 'x'.repeat(maxBannerBytes + 1));
  assert.deepEqual(await shown(file), ['', `more than ${maxBannerBytes} bytes`]);
  assert.deepEqual(await shown(folder), ['', 'not a regular file']);
  assert.match((await shown(join(folder, 'nothing')))[1], /ENOENT/);
});

test('a pipe that nobody writes to holds nobody up', { timeout: 10_000 }, async () => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  assert.deepEqual(await shown(pipe), ['', 'not a regular file']);
});
