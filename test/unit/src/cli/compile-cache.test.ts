/** The cache of compiled code is one's own or it is not used. Runs in: test. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

const folder = mkdtempSync(path.join(tmpdir(), 'sshdesk-cache-'));
after(() => rmSync(folder, { recursive: true }));
const module = path.resolve(import.meta.dirname, '../../../../src/cli/compile-cache.ts');

/** The one of the tests would be on already. */
const { NODE_COMPILE_CACHE: _ofTheTests, ...withoutCache } = process.env;

/** In a process of its own: a cache that is on stays on. */
function isUsed(directory: string): boolean {
  const text = `const { useCompileCache } = await import(${JSON.stringify(module)});
    process.stdout.write(String(useCompileCache(${JSON.stringify(directory)})));
    await import('yargs');`;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--no-warnings', '--input-type=module', '-e', text],
    { encoding: 'utf8', cwd: path.dirname(module), env: withoutCache },
  );
  assert.equal(status, 0, stderr);
  return stdout === 'true';
}

function made(name: string, mode = 0o755): string {
  const directory = path.join(folder, name);
  mkdirSync(directory);
  chmodSync(directory, mode);
  return directory;
}

test('a folder of one’s own gets one, which the next start finds', () => {
  const directory = made('own');
  assert.equal(isUsed(directory), true);
  assert.ok(readdirSync(path.join(directory, 'compile-cache')).length > 0);
  assert.equal(isUsed(directory), true);
});

test('a folder that is not there, that others may write to, or with such a cache: none', () => {
  assert.equal(isUsed(path.join(folder, 'nowhere')), false);
  for (const mode of [0o775, 0o757]) {
    const directory = made(`mode-${mode}`, mode);
    assert.equal(isUsed(directory), false);
    assert.ok(!existsSync(path.join(directory, 'compile-cache')));
  }
  const open = made('open-cache');
  mkdirSync(path.join(open, 'compile-cache'));
  chmodSync(path.join(open, 'compile-cache'), 0o777);
  assert.equal(isUsed(open), false);
  const linked = made('linked-cache');
  symlinkSync(made('elsewhere'), path.join(linked, 'compile-cache'));
  assert.equal(isUsed(linked), false);
});

test('a folder of somebody else: none', {
  skip: process.getuid?.() === 0 ? false : 'needs root',
}, () => {
  const directory = made('of-another');
  spawnSync('chown', ['65534', directory]);
  assert.equal(isUsed(directory), false);
  assert.deepEqual(readdirSync(directory), []);
});
