/** docs/reference/commands.md and docs/man are what the commands say of themselves, and they keep it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { commands } from '../../../../src/cli/commands/index.ts';
import { asksForHelp, parseFlags, serveFlags, usage } from '../../../../src/cli/serve/flags.ts';
import {
  commandReference,
  describedCommands,
  exitStatus,
  serveManual,
  userManual,
} from '../../../support/command-reference.ts';

const root = new URL('../../../../', import.meta.url);
const main = fileURLToPath(new URL('src/cli/main.ts', root));
const { version } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as {
  readonly version: string;
};

interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Only calls that cannot begin to serve: `serve` with -t, -V, --help or a wrong flag. */
function sshdesk(...args: readonly string[]): Promise<Finished> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', main, ...args],
      {
        timeout: 20_000,
        encoding: 'utf8',
        env: { ...process.env, COLUMNS: '80', HOME: '/nonexistent' },
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, stdout, stderr });
      },
    );
  });
}

function compare(path: string, text: string): void {
  const file = new URL(path, root);
  if (process.env.UPDATE_REFERENCE !== undefined) {
    writeFileSync(file, text);
  }
  assert.equal(readFileSync(file, 'utf8'), text, path);
}

test('docs/reference/commands.md has what --help prints', async () => {
  const text = await commandReference(async (name) => {
    const { code, stdout, stderr } = await sshdesk(...name.split(' '), '--help');
    assert.equal(code, 0, `${name} --help: ${stderr}`);
    assert.equal(stderr, '');
    return stdout;
  });
  compare('docs/reference/commands.md', text);
});

test('the manual pages have every command, flag and option', async () => {
  const user = await userManual(version);
  compare('docs/man/sshdesk.1', user);
  compare('docs/man/sshdesk-serve.8', serveManual(version));
  for (const described of await describedCommands()) {
    assert.ok(user.includes(`.SS sshdesk ${described.name}`), described.name);
    if (described.name !== 'serve') {
      assert.ok(described.arguments.length > 0, `no argument of ${described.name} was recorded`);
    }
    for (const { name, describe } of described.arguments) {
      assert.notEqual(describe, '', `${described.name} ${name} is not described`);
    }
  }
});

test('every command has a table of exit statuses, and every table a command', async () => {
  const described = await describedCommands();
  assert.deepEqual(
    Object.keys(exitStatus).toSorted(),
    described.map(({ name }) => name).toSorted(),
  );
  for (const { name } of commands) {
    assert.ok(
      described.some((one) => one.name.split(' ')[0] === name),
      name,
    );
  }
});

test('the usage of serve names every flag, and no other', () => {
  const letters = /\[-(\w+)\]/.exec(usage)?.[1] ?? '';
  const valued = [...usage.matchAll(/\[-(\w) /g)].map((match) => match[1] as string);
  const shown = serveFlags.filter(({ isInternal, name }) => !isInternal && name.length === 1);
  const named = (hasValue: boolean) =>
    shown.filter((row) => (row.value !== undefined) === hasValue).map(({ name }) => name);
  assert.deepEqual([...letters].toSorted(), named(false).toSorted());
  assert.deepEqual(valued.toSorted(), named(true).toSorted());
});

test('--help is a flag, not the value of one, and is never served', () => {
  assert.ok(asksForHelp(['--help']));
  assert.ok(asksForHelp(['-D', '-p22', '--help', '-f', 'x']));
  assert.ok(!asksForHelp(['-f', '--help']));
  assert.ok(!asksForHelp(['-x']));
  assert.throws(() => parseFlags(['--help']));
  assert.throws(() => parseFlags(['--help=x']), /takes no argument/);
  assert.throws(() => parseFlags(['--f', 'x']), /unknown option/);
});

/** Documented numbers, each by the cheapest way to it. */
const ways: readonly (readonly [number, readonly string[], RegExp])[] = [
  [2, [], /Which command\?/],
  [2, ['nosuch'], /Unknown argument: nosuch/],
  [2, ['start', '--nosuch'], /Unknown argument: nosuch/],
  [2, ['start', '-p'], /Not enough arguments/],
  [1, ['serve', '-x'], /unknown option -- x\nusage: /],
  [1, ['serve', '-t', '-p', '0'], /Bad port number/],
  [255, ['serve', '-t', '-f', '/nonexistent/config'], /nonexistent/],
  [0, ['serve', '-V'], /^sshdesk_/],
  [2, ['connect'], /which host/],
  [2, ['connect', 'host', '--nosuch'], /Unknown argument/],
  [255, ['connect', '-F', 'none', '--batch', '--list', '127.0.0.1:1'], /refused|ECONNREFUSED/i],
  [2, ['explain', '--nonsense'], /Unknown argument/],
  [255, ['explain', '-C', 'nothing'], /Invalid test mode specification/],
  [2, ['keys'], /which command/],
  [2, ['keys', 'list'], /--pkcs11/],
  [1, ['keys', 'list', '--pkcs11', '/nonexistent.so'], /no such file/],
  [2, ['sessions'], /Not enough non-option arguments/],
  [2, ['sessions', 'nosuch'], /Invalid values/],
  [1, ['sessions', 'terminate', '--control', '/nonexistent'], /which one/],
  [255, ['sessions', 'list', '--control', '/nonexistent'], /no daemon is reached/],
];

for (const [code, args, says] of ways) {
  test(`sshdesk ${args.join(' ')}: exit status ${code}, said once`, async () => {
    const found = await sshdesk(...args);
    assert.match(found.stderr, says);
    assert.equal(found.code, code, found.stderr);
    assert.equal(found.stdout, '');
  });
}
