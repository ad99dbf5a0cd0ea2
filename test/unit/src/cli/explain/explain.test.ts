/** `sshdesk explain`: exit status, the table within the width of a terminal, `--json`. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../../../../src/cli/main.ts', import.meta.url));
let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'explain-'));
  writeFileSync(join(folder, 'empty'), '');
});
after(() => rmSync(folder, { recursive: true, force: true }));

function explain(columns: number, ...args: readonly string[]) {
  const program = ['--disable-warning=ExperimentalWarning', main, 'explain', ...args];
  return spawnSync(process.execPath, program, {
    encoding: 'utf8',
    timeout: 20_000,
    env: { ...process.env, COLUMNS: String(columns) },
  });
}

function write(name: string, lines: readonly string[]): string {
  const path = join(folder, name);
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

test('a good configuration: 0, and every line of the table fits', () => {
  const path = write('good', [
    ...['PermitRootLogin no', 'PermitRootLogin yes', 'Ciphers aes128-ctr,aes128-cbc'],
    `SetEnv ${Array.from({ length: 40 }, (_, index) => `NAME${index}=value`).join(' ')}`,
    ...['Match User alice', 'MaxSessions 2'],
  ]);
  for (const columns of [40, 72, 200]) {
    const { status, stdout, stderr } = explain(
      columns,
      '-f',
      path,
      '--desktop-config',
      `${folder}/empty`,
    );
    assert.equal(stderr, '');
    assert.equal(status, 0);
    assert.match(stdout, /^ +2 {2}overridden {5}PermitRootLogin yes$/m);
    assert.match(stdout, /^ +3 {2}stricter /m);
    assert.match(stdout, /^ +6 {2}if matched {5}MaxSessions 2$/m);
    const lines = stdout.split('\n').filter((line) => !line.startsWith('/'));
    assert.deepEqual(
      lines.filter((line) => line.length > columns),
      [],
    );
  }
});

test('a configuration that is not taken: 1, with all that is wrong', () => {
  const path = write('bad', ['PermitTunnel yes', 'Foo bar', 'AuthorizedKeysCommand /x', 'Port 22']);
  const desktop = write('desktop', ['Workers none', 'XSession startxfce4']);
  const { status, stdout } = explain(100, '-f', path, '--desktop-config', desktop);
  assert.equal(status, 1);
  assert.match(stdout, /^ +1 {2}not supported {2}PermitTunnel yes\n +"yes" is not supported\./m);
  assert.match(stdout, /^ +2 {2}wrong {10}Foo bar\n +Bad configuration option$/m);
  assert.match(stdout, /^ +1 {2}wrong {10}Workers none$/m);
  assert.match(stdout, /^ +2 {2}honoured {7}XSession startxfce4$/m);
  // What only lines together make wrong.
  const contradiction = write('whole', ['AuthorizedKeysCommand /x']);
  const whole = explain(100, '-f', contradiction, '--desktop-config', `${folder}/empty`);
  assert.equal(whole.status, 1);
  assert.match(
    whole.stderr,
    /whole:1: AuthorizedKeysCommand: set without AuthorizedKeysCommandUser/,
  );
});

test('--json: lines, winners and values for a connection', () => {
  const path = write('match', [
    ...['MaxSessions 1', 'Match User root', 'MaxSessions 3', 'Match User daemon', 'PermitTTY no'],
  ]);
  const args = ['-f', path, '--desktop-config', `${folder}/empty`, '--json', '-C', 'user=root'];
  const { status, stdout } = explain(80, ...args, '-o', 'Port=7');
  assert.equal(status, 0);
  const { isUsable, lines, inForce, problems } = JSON.parse(stdout);
  assert.equal(isUsable, true);
  assert.deepEqual(problems, []);
  assert.deepEqual(
    lines.map(({ line, verdict, overriddenBy }: Record<string, unknown>) => [
      line,
      verdict,
      overriddenBy ?? '',
    ]),
    [
      [1, 'honoured', ''],
      [1, 'overridden', `${path}:3`],
      [2, 'match', ''],
      [3, 'honoured', ''],
      [4, 'match', ''],
      [5, 'not matched', ''],
    ],
  );
  assert.deepEqual(inForce, [
    { keyword: 'Port', values: ['7'], from: ['command-line:1'] },
    { keyword: 'MaxSessions', values: ['3'], from: [`${path}:3`] },
  ]);
});

test('a file that is not there, and a connection that is none: 255; usage: 2', () => {
  const missing = explain(80, '-f', join(folder, 'nowhere'), '--desktop-config', `${folder}/empty`);
  assert.equal(missing.status, 255);
  assert.match(missing.stderr, /nowhere: No such file or directory/);
  const spec = explain(80, '-f', write('one', ['Port 1']), '-C', 'usr=alice');
  assert.equal(spec.status, 255);
  assert.match(spec.stderr, /Invalid test mode specification usr=alice/);
  assert.equal(explain(80, '--nonsense').status, 2);
});
