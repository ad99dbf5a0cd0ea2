import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

test('a connection for which no descriptor is left is turned away, and nothing else ends', () => {
  const script = fileURLToPath(new URL('../../../support/out-of-descriptors.ts', import.meta.url));
  const result = spawnSync(
    '/bin/sh',
    ['-c', 'ulimit -n 128; exec "$0" --no-warnings "$1"', process.execPath, script],
    { encoding: 'utf8', timeout: 20_000 },
  );
  assert.equal(result.status, 0, result.stderr);
  const { lines, count } = JSON.parse(result.stdout) as { lines: string[]; count: number };
  assert.equal(count, 0);
  assert.match(lines.join('\n'), /^drop connection from 192\.0\.2\.1 port 1: /m);
});
