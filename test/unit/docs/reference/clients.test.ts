/** docs/reference/clients.md says what test/interop/clients shows, and of each client there is a test. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { clientReference, testedClients } from '../../../support/client-reference.ts';
import { foreignClients } from '../../../support/foreign-client.ts';

const root = new URL('../../../../', import.meta.url);
const path = new URL('docs/reference/clients.md', root);

test('docs/reference/clients.md is what the tests show', () => {
  const text = clientReference();
  if (process.env.UPDATE_REFERENCE !== undefined) {
    writeFileSync(path, text);
  }
  assert.equal(readFileSync(path, 'utf8'), text);
});

test('of each client there is a test file, and it shows something', () => {
  // Files that show no ability of the table are of other things: the newest OpenSSH.
  const names = testedClients().flatMap(({ name, abilities }) =>
    abilities.length > 0 ? [name] : [],
  );
  assert.deepEqual(names, Object.keys(foreignClients).sort());
});

test('./setup --test brings the package of each', () => {
  const setup = readFileSync(new URL('setup', root), 'utf8');
  const packages = /^test_packages=\(([^)]*)\)/m.exec(setup)?.[1]?.split(/\s+/) ?? [];
  assert.deepEqual(
    Object.values(foreignClients)
      .map((client) => client.package)
      .filter((name) => !packages.includes(name)),
    [],
  );
});

const isDebian12 = /^ID=debian$[^]*^VERSION_ID="12"$|^VERSION_ID="12"$[^]*^ID=debian$/m;

test('the versions are those of Debian 12', {
  skip: isDebian12.test(readFileSync('/etc/os-release', 'utf8')) ? false : 'not Debian 12',
}, () => {
  for (const { package: name, version } of Object.values(foreignClients)) {
    const said = spawnSync('dpkg-query', ['-W', '-f', '${Version}', name], { encoding: 'utf8' });
    if (said.status === 0) {
      const upstream = said.stdout.replace(/^\d+:/, '');
      assert.ok(upstream.startsWith(version), `${name}: ${upstream}`);
    }
  }
});
