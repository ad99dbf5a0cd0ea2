/** TrustedUserCAKeys and RevokedKeys: read anew when they change, and never something else. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { generateKey } from '../../../../keys/keygen.ts';
import { parsePublicKey, publicLine, type PublicKey } from '../../../../keys/public-key.ts';
import { KeyFiles } from '../../../../src/monitor/key-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'key-files-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function makeKey(): PublicKey {
  const parsed = parsePublicKey(generateKey({ type: 'ed25519' }).key.publicBlob);
  assert.ok(parsed.ok);
  return parsed.key;
}

const first = makeKey();
const second = makeKey();
const line = (key: PublicKey) => `${publicLine(key.blob)}\n`;

test('a change counts at once, also one of the same size within the same moment', async () => {
  const path = join(folder, 'trusted');
  const files = new KeyFiles();
  for (let round = 0; round < 20; round++) {
    const [listed, other] = round % 2 === 0 ? [first, second] : [second, first];
    writeFileSync(path, line(listed));
    assert.ok(await files.trusts(path, listed));
    assert.ok(!(await files.trusts(path, other)));
  }
});

test('a revoked key is one from the next look on, and a file that is gone rejects', async () => {
  const path = join(folder, 'revoked');
  const files = new KeyFiles();
  writeFileSync(path, '');
  assert.ok(!(await files.revoked(path)).revokesKey(first));
  writeFileSync(path, line(first));
  assert.ok((await files.revoked(path)).revokesKey(first));
  rmSync(path);
  await assert.rejects(files.revoked(path), { code: 'ENOENT' });
});

test('a list that has long been the same is not parsed again', async () => {
  const path = join(folder, 'settled');
  writeFileSync(path, line(first));
  const files = new KeyFiles(() => Date.now() + 3_600_000);
  const before = await files.revoked(path);
  assert.equal(await files.revoked(path), before);
  utimesSync(path, 1, 1);
  assert.notEqual(await files.revoked(path), before);
});

test('what is malformed rejects, and again on the next look', async () => {
  const path = join(folder, 'malformed');
  const files = new KeyFiles();
  writeFileSync(path, `nonsense\n${line(first)}`);
  for (let round = 0; round < 2; round++) {
    await assert.rejects(files.revoked(path), /line 1 is not a public key/);
    await assert.rejects(files.trusts(path, first), /line 1 is not a public key/);
  }
  writeFileSync(path, `${line(first)}nonsense\n`);
  assert.ok(await files.trusts(path, first), 'in front of the malformed line');
  await assert.rejects(files.trusts(path, second), /line 2 is not a public key/);
});

test('a FIFO, a folder, a device and a giant are no lists', { timeout: 10_000 }, async () => {
  const files = new KeyFiles();
  const fifo = join(folder, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const giant = join(folder, 'giant');
  writeFileSync(giant, '');
  truncateSync(giant, 33 * 1024 * 1024);
  for (const path of [fifo, folder, '/dev/zero']) {
    await assert.rejects(files.revoked(path), /not a regular file/, path);
  }
  await assert.rejects(files.revoked(giant), /larger than/);
});
