/** What the checks of doctor read of krb5.conf: sections, realms, includes, and files without an end. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { firstOf, readKrb5Conf } from '../../../../../src/cli/doctor/krb5-conf.ts';

const folder = mkdtempSync(join(tmpdir(), 'krb5-'));
after(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'krb5.conf');
const environment = { KRB5_CONFIG: file };

test('sections, realms, comments, quotes; the first value of several', () => {
  writeFileSync(
    file,
    `# default_realm = WRONG
[libdefaults]
  default_realm = HERE.TEST
  default_realm = LATER.TEST
  ; default_keytab_name = FILE:/wrong
  default_keytab_name = "FILE:/etc/own.keytab"
[realms]
  HERE.TEST = {
    kdc = one.here.test
    kdc = two.here.test:750
  }
  OTHER.TEST = {
    kdc = other
  }
`,
  );
  const conf = readKrb5Conf(environment);
  assert.ok(conf !== undefined);
  assert.equal(firstOf(conf, 'libdefaults/default_realm'), 'HERE.TEST');
  assert.equal(firstOf(conf, 'libdefaults/default_keytab_name'), 'FILE:/etc/own.keytab');
  assert.deepEqual(conf.values.get('realms/HERE.TEST/kdc'), ['one.here.test', 'two.here.test:750']);
  assert.equal(firstOf(conf, 'realms/NOWHERE/kdc'), undefined);
});

test('include and includedir, in the library’s choice of names; a file that includes itself ends', () => {
  const more = join(folder, 'more.d');
  mkdirSync(more);
  writeFileSync(join(more, 'a-realm'), '[libdefaults]\ndefault_realm = FOUND.TEST\n');
  writeFileSync(join(more, 'b.conf'), '[libdefaults]\nb = yes\n');
  writeFileSync(join(more, 'c.rpmsave'), '[libdefaults]\nc = yes\n');
  writeFileSync(file, `includedir ${more}\ninclude ${file}\ninclude ${folder}/none\n`);
  const conf = readKrb5Conf(environment);
  assert.ok(conf !== undefined);
  assert.equal(firstOf(conf, 'libdefaults/default_realm'), 'FOUND.TEST');
  assert.equal(firstOf(conf, 'libdefaults/b'), 'yes');
  assert.equal(firstOf(conf, 'libdefaults/c'), undefined);
});

test('no such file', () => {
  assert.equal(readKrb5Conf({ KRB5_CONFIG: join(folder, 'none') }), undefined);
});
