/** known_hosts while others write to it. Runs in: test. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { addKnownHost, removeKnownHosts } from '../../../../../src/cli/connect/trust-files.ts';
import { knownHostLine } from '../../../../../src/ssh/client/known-hosts.ts';
import { Writer } from '../../../../../src/ssh/wire/writer.ts';

function blob(): Buffer {
  const { publicKey } = generateKeyPairSync('ed25519');
  const point = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  return new Writer().text('ssh-ed25519').string(point).done();
}

test('a line that is added while another is taken out is not lost', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'known-hosts-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'known_hosts');
  const old = blob();
  const lines = Array.from({ length: 20 }, (_one, at) => knownHostLine(`h${at}`, blob(), false));
  for (const line of lines) {
    writeFileSync(
      path,
      `${knownHostLine('desk', old, false)}${knownHostLine('desk', blob(), false)}`,
    );
    await Promise.all([removeKnownHosts(path, 'desk', [old]), addKnownHost(path, line)]);
    const text = readFileSync(path, 'utf8');
    assert.ok(text.includes(line), text);
    assert.ok(!text.includes(old.toString('base64')), text);
    assert.deepEqual(readdirSync(folder), ['known_hosts']);
  }
});
