/** What is said of the keys of the account `nx` when a configuration is read. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import type { Log } from '../../../../src/audit/log.ts';
import { tellOfNxKeys } from '../../../../src/cli/serve/nx-keys.ts';
import type { DesktopConfig } from '../../../../src/policy/config.ts';
import { nxDefaults } from '../../../../src/policy/nx-keywords.ts';

function told(nxKeyFile: string, nxLegacyAccount = true, isRootless = false): readonly string[] {
  const lines: string[] = [];
  const log = { error: (line: string) => lines.push(line) } as unknown as Log;
  const config = { ...nxDefaults, nxLegacyAccount, nxKeyFile } as DesktopConfig;
  tellOfNxKeys(config, log, isRootless);
  return lines;
}

test('a key of the published kind, none at all: said at every start; a file that others may write: no start', () => {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'nx-')), 'keys');
  assert.match(told(file).join(), /ENOENT.*nobody comes in as nx \(sshdesk nxserver --keygen\)/);
  writeFileSync(file, 'ssh-ed25519 AAAA own\nssh-dss AAAAB3NzaC1kc3M= root@nettuno\n');
  chmodSync(file, 0o644);
  const dss = told(file).filter((line) => line.includes('ssh-dss'));
  assert.equal(dss.length, 1);
  assert.match(dss.join(), /:2: an ssh-dss key, as the one that was published/);
  chmodSync(file, 0o666);
  assert.throws(() => told(file), /others than root may write it.*chmod 644/);
  assert.deepEqual(told(file, false), [], 'nothing where the account is off');
});

test('without root the account could never answer: no start', () => {
  assert.throws(() => told('/nowhere', true, true), /NXLegacyAccount: .*start sshdesk as root/);
  assert.deepEqual(told('/nowhere', false, true), []);
});
