/** Whose file a PKCS#11 module may be, and in whose folders. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ConfigError } from '../../../../src/base/errors.ts';
import { checkModuleFile } from '../../../../keys/pkcs11/module-file.ts';

const uid = process.geteuid?.() ?? 0;
const folder = mkdtempSync(join(realpathSync('/tmp'), 'module-file-'));
after(() => rmSync(folder, { recursive: true }));

/** A module in a folder of its own. */
function made(name: string, modes: { file?: number; folder?: number } = {}): string {
  const inner = join(folder, name);
  mkdirSync(inner);
  const file = join(inner, 'module.so');
  writeFileSync(file, '');
  chmodSync(file, modes.file ?? 0o755);
  chmodSync(inner, modes.folder ?? 0o755);
  return file;
}

function refusal(path: string, as = uid): string {
  try {
    checkModuleFile(path, as);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.detail;
  }
  return '';
}

test('one’s own file in folders of one’s own and of root, by way of a link too', () => {
  const file = made('good');
  assert.equal(checkModuleFile(file, uid), file);
  const link = join(folder, 'link.so');
  symlinkSync(file, link);
  assert.equal(checkModuleFile(link, uid), file);
});

test('a sticky folder that is everybody’s, for the file in it is not', () => {
  const file = made('sticky', { folder: 0o1777 });
  assert.equal(checkModuleFile(file, uid), file);
});

const refused: readonly (readonly [string, string, RegExp])[] = [
  ['a relative path', 'module.so', /^module\.so: not an absolute path/],
  ['nothing', '/nonexistent/module.so', /^\/nonexistent\/module\.so: no such file$/],
  ['a folder', folder, /not a file/],
  ['a file that everybody writes', made('file', { file: 0o757 }), /chmod o-w .*module\.so$/],
  ['a folder that everybody writes', made('folder', { folder: 0o777 }), /chmod o-w .*\/folder$/],
];
for (const [what, path, says] of refused) {
  test(`not ${what}, and what helps is said`, () => assert.match(refusal(path), says));
}

test('not a file of another user, root excepted', () => {
  const file = made('foreign');
  const says = refusal(file, uid + 1);
  if (uid === 0) assert.equal(says, '');
  else assert.match(says, /belongs to uid \d+, .* chown root /);
});

test('not a file that a group other than root’s may write', { skip: uid === 0 }, () => {
  assert.match(refusal(made('group', { file: 0o775 })), /chmod g-w .*module\.so$/);
});
