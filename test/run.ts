/**
 * All that `npm test` is: format, lint, types, then every test, those first that need least. The
 * closing lines are those of node's own runner. A foreign client that is missing is named at the end, and is a
 * failure where CI is set. Arguments: paths that a test file must contain.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { finished } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { missingClient } from './support/missing-client.ts';

const root = resolve(import.meta.dirname, '..');
const totalLimitMs = 45 * 60_000;
const fileLimitMs = 10 * 60_000;
/** Many of them wait for something: more at once than a small machine has processors. */
const concurrency = 3;
/** In this order. `bench` is no test. */
const kinds = ['architecture', 'unit', 'pair', 'fuzz', 'interop', 'system', 'e2e'];
/** Need root: accounts, PAM stacks and namespaces of their own. */
const forRoot = new Set(['system']);

const checks: readonly (readonly [string, readonly string[]])[] = [
  ['format', ['@biomejs/biome/bin/biome', 'format', '--reporter=summary', '.']],
  ['lint', ['oxlint/bin/oxlint', '--type-aware', '-c', '.oxlintrc.json', '.']],
  ['types', ['typescript/bin/tsc', '-p', '.']],
];

function check(): boolean {
  let isGood = true;
  for (const [name, [script = '', ...args]] of checks) {
    process.stdout.write(`${name}\n`);
    const result = spawnSync(process.execPath, [join(root, 'node_modules', script), ...args], {
      cwd: root,
      encoding: 'utf8',
    });
    if (result.status !== 0) {
      isGood = false;
      process.stdout.write(`${result.stdout}${result.stderr}${name}: failed\n`);
    }
  }
  return isGood;
}

function testFiles(wanted: readonly string[]): string[] {
  const isRoot = process.getuid?.() === 0;
  return kinds.flatMap((kind) => {
    if (forRoot.has(kind) && !isRoot) {
      process.stdout.write(`test/${kind} is left out: it needs root\n`);
      return [];
    }
    return globSync(`test/${kind}/**/*.test.ts`, { cwd: root })
      .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
      .sort()
      .map((file) => join(root, file));
  });
}

async function runTests(files: string[]): Promise<boolean> {
  const abort = new AbortController();
  const limit = setTimeout(() => {
    process.stdout.write(`the tests were stopped after ${totalLimitMs / 60_000} minutes\n`);
    abort.abort();
  }, totalLimitMs);
  let isGood = true;
  const missing = new Set<string>();
  const events = run({
    files,
    concurrency,
    cwd: root,
    timeout: fileLimitMs,
    signal: abort.signal,
    execArgv: ['--disable-warning=ExperimentalWarning'],
  })
    .on('test:fail', ({ todo, skip }) => {
      if (todo === undefined && skip === undefined) {
        isGood = false;
      }
    })
    .on('test:pass', ({ skip }) => {
      if (typeof skip === 'string' && skip.startsWith(missingClient)) {
        missing.add(skip);
      }
    });
  const report = events.compose(spec);
  report.pipe(process.stdout);
  await finished(report);
  clearTimeout(limit);
  if (missing.size > 0) {
    process.stdout.write(`${missing.size} not tried:\n${[...missing].join('\n')}\n`);
  }
  // Where nobody reads the report, a client that is missing is one that may no longer work.
  const isComplete = missing.size === 0 || (process.env.CI ?? '') === '';
  return isGood && isComplete && !abort.signal.aborted;
}

const wanted = process.argv.slice(2);
// Each file is a process of its own and loads much that others do.
process.env.NODE_COMPILE_CACHE ??= join(root, 'build/test-cache');
const areChecksGood = wanted.length > 0 || check();
const files = testFiles(wanted);
if (files.length === 0) {
  process.stdout.write('there is no such test\n');
  process.exitCode = 1;
} else {
  const areTestsGood = await runTests(files);
  if (!areChecksGood) {
    process.stdout.write('format, lint or types: failed, see the beginning\n');
  }
  process.exitCode = areTestsGood && areChecksGood ? 0 : 1;
}
