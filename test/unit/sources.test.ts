/**
 * Incidents that are shown by reading the sources: no shell is given a text, no text of others is a
 * format. Runs in: test.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

const root = path.resolve(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
/** Code without its comments; strings stay. */
const code = (file: string) =>
  read(file)
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/^\s*\/\/.*$/gm, '');
const typescript = globSync('{src,keys,pam,subsystems}/**/*.ts', { cwd: root });
const c = globSync('{src,pam}/**/*.c', { cwd: root });

function found(files: readonly string[], pattern: RegExp): readonly string[] {
  return files.flatMap((file) =>
    [...code(file).matchAll(pattern)].map((match) => `${file}: ${match[0]}`),
  );
}

test('CVE-2020-26301: nothing is started through a shell of ours', () => {
  assert.ok(typescript.length > 200 && c.length > 25);
  assert.deepEqual(found(typescript, /\bshell:\s*(?:true|['"`])|\beval\(|new Function\(/g), []);
  const imported = found(typescript, /import \{[^}]*\} from 'node:child_process'/g);
  assert.ok(imported.length >= 3);
  assert.deepEqual(
    imported.filter((line) => /\bexec(?:Sync)?\b/.test(line)),
    [],
  );
  assert.deepEqual(found(c, /\b(?:system|popen|execlp|execvp|execvpe|wordexp)\s*\(/g), []);
});

test('CVE-2020-26301: programs that the server starts have no name or path of a client', () => {
  const callers = typescript.filter((file) =>
    /import (?!type\b)[^;]*from 'node:child_process'/.test(code(file)),
  );
  // In the processes that serve: the zygote, and the process of a card module, which is Node itself with
  // a file of ours. The rest are the user's own tools.
  const serving = callers.filter((file) => /^src\/(?!cli\/)|^(?:keys|pam|subsystems)\//.test(file));
  assert.deepEqual(serving.sort(), ['keys/pkcs11/card-start.ts', 'src/process/zygote.ts']);
});

test('FreeNX: nothing secret is drawn from a generator that can be guessed', () => {
  // Which of the waiting connections is dropped is no secret, and is asked for by name.
  assert.deepEqual(found(typescript, /\bMath\.random\b(?!\);)/g), []);
  assert.deepEqual(
    typescript.filter((file) => code(file).includes('Math.random')),
    ['src/process/monitor-connections.ts'],
  );
  assert.deepEqual(found(c, /\b(?:rand|random|rand_r|[dlmn]rand48|drand48)\s*\(/g), []);
  assert.ok(found(typescript, /\brandomBytes\(16\)/g).length >= 1, 'ids of desktops');
});

test('CVE-2016-7406: every format of the native parts is a literal', (t) => {
  const compiler = spawnSync('cc', ['--version']);
  if (compiler.error !== undefined) {
    t.skip('there is no C compiler');
    return;
  }
  const leader = c.filter((file) => file.startsWith('pam/'));
  const checked = spawnSync(
    'cc',
    [
      ...['-D_GNU_SOURCE', '-std=gnu11', '-fsyntax-only'],
      ...['-Wformat=2', '-Werror=format-security', '-Werror=format-nonliteral', '-Werror=format'],
      ...leader,
    ],
    { cwd: root, encoding: 'utf8' },
  );
  assert.equal(checked.status, 0, checked.stderr);
  assert.ok(leader.length > 20);
  // The addon needs Node's headers: its few calls are read.
  const formats = found(
    c.filter((file) => file.startsWith('src/')),
    /\b(?:syslog|v?s?n?printf|f?printf|err|warn)\s*\([^;]*;/g,
  ).filter((call) => !/"(?:[^"\\]|\\.)*"/.test(call));
  assert.deepEqual(formats, []);
});
