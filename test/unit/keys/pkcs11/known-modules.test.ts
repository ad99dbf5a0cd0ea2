/** Modules that p11-kit's configuration names, in a home of its own beside what this machine has. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { knownModules } from '../../../../keys/pkcs11/known-modules.ts';

const home = mkdtempSync(join(realpathSync('/tmp'), 'known-modules-'));
after(() => rmSync(home, { recursive: true }));
const folder = join(home, '.config/pkcs11/modules');
mkdirSync(folder, { recursive: true });

function module(name: string, ...lines: readonly string[]): string {
  const path = join(home, `${name}.so`);
  writeFileSync(path, '');
  writeFileSync(
    join(folder, `${name}.module`),
    ['# a comment', `module: ${path}`, ...lines, ''].join('\n'),
  );
  return path;
}

test('in the order of their priorities; none that is not there, not for us, or without keys', async () => {
  const low = module('low', 'priority: 1');
  const high = module('high', 'priority: 7', 'enable-in: other, sshdesk');
  module('trust', 'trust-policy: yes', 'priority: 9');
  module('disabled', 'disable-in: sshdesk', 'priority: 9');
  module('enabled', 'enable-in: firefox', 'priority: 9');
  rmSync(module('gone', 'priority: 9'));
  writeFileSync(join(folder, 'remote.module'), 'remote: |ssh host p11-kit remote\n');
  writeFileSync(join(folder, 'not-one.conf'), `module: ${join(home, 'other.so')}\n`);
  const found = await knownModules(home);
  assert.deepEqual(
    found.filter((path) => path.startsWith(home)),
    [high, low],
  );
  assert.equal(new Set(found).size, found.length, 'each once');
});

test('nothing where there is nothing', async () => {
  const found = await knownModules('/nonexistent');
  assert.ok(found.every((path) => path.startsWith('/usr/')));
});
