/** Configurations that are none: real files of every kind, and bytes at random. All errors, no fault. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemSource } from '../../../../src/policy/config-source.ts';
import { ConfigFailure } from '../../../../src/policy/failure.ts';
import { loadConfig } from '../../../../src/policy/load.ts';
import { memorySource } from '../../../support/config-files.ts';
import { keywordSamples } from '../../../support/keyword-samples.ts';

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'bad-input-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

async function errorsOf(content: string | Buffer): Promise<readonly string[]> {
  const file = join(folder, 'config');
  writeFileSync(file, content);
  return loadConfig({ file, commandLine: [], source: systemSource() }).then(
    () => [],
    (error: unknown) => {
      assert.ok(error instanceof ConfigFailure, String((error as Error).stack));
      return error.lines.map((line) => line.replaceAll(folder, ''));
    },
  );
}

test('Include of what is no file: each is told, and nothing is waited for', {
  timeout: 20_000,
}, async () => {
  mkdirSync(join(folder, 'a.d'));
  execFileSync('mkfifo', [join(folder, 'b.fifo')]);
  symlinkSync(join(folder, 'c.loop'), join(folder, 'c.loop'));
  symlinkSync('/dev/null', join(folder, 'd.null'));
  writeFileSync(join(folder, 'e.conf'), 'Port x\n');
  const text = ['a.d', 'b.fifo', 'c.loop', 'd.null', 'e.conf', 'f.missing', '[ab].*']
    .map((name) => `Include ${folder}/${name}`)
    .join('\n');
  assert.deepEqual(await errorsOf(`${text}\nFoo bar\n`), [
    '/config:1: Include: /a.d: Is a directory',
    '/config:2: Include: /b.fifo: Not a file',
    '/config:3: Include: /c.loop: Too many levels of symbolic links',
    '/e.conf:1: Port: "x" is not a port number',
    '/config:7: Include: /a.d: Is a directory',
    '/config:7: Include: /b.fifo: Not a file',
    '/config:8: Foo: Bad configuration option',
  ]);
});

test('files that include each other, and themselves by a pattern', {
  timeout: 20_000,
}, async () => {
  const circle = join(folder, 'circle');
  mkdirSync(circle);
  writeFileSync(join(circle, 'one'), `Include ${circle}/two\nFoo one\n`);
  writeFileSync(join(circle, 'two'), `Include ${circle}/one\n`);
  const lines = await errorsOf(`Include ${circle}/one\n`);
  assert.ok(lines.some((line) => /Include: nested more than 16 deep$/.test(line)));
  assert.ok(lines.some((line) => line.endsWith('/circle/one:2: Foo: Bad configuration option')));
});

test('a pipe, a directory or nothing as the file itself', async () => {
  execFileSync('mkfifo', [join(folder, 'fifo')]);
  for (const [name, what] of [
    ['fifo', 'Not a file'],
    ['', 'Is a directory'],
    ['nowhere', 'No such file or directory'],
  ]) {
    const file = join(folder, name as string);
    await assert.rejects(loadConfig({ file, commandLine: [], source: systemSource() }), {
      lines: [`${file}: ${what}`],
    });
  }
  await loadConfig({ file: '/dev/null', commandLine: [], source: systemSource() });
});

test('NUL bytes, quotes that do not end, lines of a megabyte', { timeout: 20_000 }, async () => {
  const line = (keyword: string, rest: string) => `${keyword} ${rest}`;
  const huge = 900_000;
  for (const [content, expected] of [
    [
      'Port 22\0\nPort\0 22\n',
      [/^\/config:1: Port: a NUL byte/, /^\/config:2: Port\?: a NUL byte/],
    ],
    [
      'Banner "/a\nAcceptEnv \'a\nForceCommand "a\n',
      [/:1: Banner: a quote/, /:2: AcceptEnv: a quote/],
    ],
    ['"Port 22\n', [/^\/config:1: .*(?:quote|Bad configuration option)/]],
    [
      'Match User "a\nPermitTTY maybe\n',
      [/:1: Match: a quote/, /:2: PermitTTY: unsupported option/],
    ],
    [line('Foo', 'x'.repeat(huge)), [/^\/config:1: Foo: Bad/]],
    ['x'.repeat(huge), [/^\/config:1: x{64}: Bad/]],
    [line('Port', `${' '.repeat(huge)}x`), [/:1: Port: "x" is not a port number/]],
    [`${' '.repeat(huge)}Port x${' \t'.repeat(50_000)}`, [/:1: Port: "x"/]],
    [line('Ciphers', 'a,'.repeat(huge / 2)), [/:1: Ciphers: Bad SSH2 cipher spec/]],
    [line('PubkeyAcceptedAlgorithms', '*a'.repeat(huge / 2)), [/:1: Pubkey\w+: Bad key types/]],
    [line('LoginGraceTime', '1'.repeat(huge)), [/:1: LoginGraceTime: the time/]],
    [line('LoginGraceTime', `${'1'.repeat(huge)}x`), [/:1: LoginGraceTime: invalid time/]],
    ...['UnusedConnectionTimeout ', 'ChannelTimeout session=', 'PerSourcePenalties authfail:'].map(
      (before) => [`${before}${'1'.repeat(huge)}x`, [/:1: \w+: /]] as const,
    ),
    [line('LoginGraceTime', '1s'.repeat(huge / 2)), []],
    [line('Match', `User ${'*a'.repeat(huge / 2)}`), []],
    [line('Match', 'User a '.repeat(huge / 7)), []],
    [line('AllowUsers', 'a@10.0.0.1/8 '.repeat(huge / 13)), [/:1: AllowUsers: invalid/]],
    ['Port 22\n'.repeat(2 ** 17 + 1), [/^\/config: more than 1048576 bytes/]],
    ['Match User a\n'.repeat(4097), [/:4097: Match: more than 4096 Match blocks/]],
  ] as const) {
    const began = process.cpuUsage();
    const lines = await errorsOf(content);
    const { user } = process.cpuUsage(began);
    const name = content.slice(0, 40);
    for (const [index, pattern] of expected.entries()) {
      assert.match(lines[index] ?? 'nothing', pattern, name);
    }
    assert.ok(
      // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be shown
      lines.every((text) => text.length <= 1000 && !/[\u0000-\u001f\u007f]/.test(text)),
      name,
    );
    assert.ok(user < 3_000_000, `${name}: ${user / 1000} ms`);
  }
});

test('more errors than are shown are counted', async () => {
  const lines = await errorsOf('Foo bar\n'.repeat(150));
  assert.equal(lines.length, 101);
  assert.equal(lines.at(-1), '50 more errors are not shown');
});

test('bytes at random, and good lines that were spoilt, are errors at the most', {
  timeout: 60_000,
}, async () => {
  let state = 11;
  const throwDice = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  const good = Object.entries(keywordSamples).flatMap(([name, { good: values }]) =>
    values.map((value) => `${name} ${value}`),
  );
  const pieces = [
    '"',
    "'",
    '\\',
    '\0',
    '=',
    ',',
    '!',
    '*',
    ' ',
    '#',
    '\n',
    '\r',
    'Match ',
    '\u00e9',
    '%',
  ];
  let failures = 0;
  for (let round = 0; round < 400; round++) {
    const lines = Array.from({ length: 1 + throwDice(8) }, () => {
      const line = good[throwDice(good.length)] as string;
      const at = throwDice(line.length + 1);
      return `${line.slice(0, at)}${pieces[throwDice(pieces.length)]}${line.slice(at + throwDice(3))}`;
    });
    const noise = Buffer.from(Array.from({ length: throwDice(40) }, () => throwDice(256)));
    const file = '/etc/ssh/sshd_config';
    const source = memorySource({
      [file]: Buffer.concat([Buffer.from(`${lines.join('\n')}\n`), noise]),
    });
    const outcome = await loadConfig({ file, commandLine: [], source }).catch(
      (error: unknown) => error,
    );
    if (outcome instanceof Error) {
      assert.ok(outcome instanceof ConfigFailure, `${lines.join('\n')}\n${outcome.stack}`);
      failures++;
    }
  }
  assert.ok(failures > 200 && failures <= 400, `${failures}`);
});
