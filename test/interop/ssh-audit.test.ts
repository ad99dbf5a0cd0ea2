/**
 * What `ssh-audit` says of the stock configuration: no fail and no warn line. Runs in: test, in the
 * lab; skipped where the program is missing.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { inLab } from '../support/lab.ts';
import { run } from '../support/child.ts';
import { currentSshAudit } from '../support/current-openssh.ts';
import { startServer, type TestServer } from '../support/server.ts';

const lab = inLab(import.meta.url);
const [program, leading, environment] = currentSshAudit ?? ['ssh-audit', [], process.env];
const isMissing = spawnSync(program, [...leading, '--help'], { env: environment, timeout: 20_000 })
  .error
  ? 'ssh-audit is not installed'
  : false;

/** What version 2.5.0 (2021), Debian 12's, cannot know, each with the reason. */
const mistaken: ReadonlyMap<string, string> = new Map(
  currentSshAudit === undefined
    ? [
        ['mlkem768x25519-sha256', 'made in 2024: "unknown algorithm"'],
        ['kex-strict-s-v00@openssh.com', 'no algorithm but the mark of strict kex, of 2023'],
      ]
    : [],
);

async function auditOf(server: TestServer): Promise<{ stdout: string; stderr: string }> {
  const args = [...leading, '-n', '-p', String(server.port), '127.0.0.1'];
  return await run(program, args, { env: environment, timeoutMs: 60_000 });
}

/** `(kex) NAME … -- [warn] …` and the lines below it that belong to it. */
function complaints(output: string): readonly { readonly name: string; readonly text: string }[] {
  let name = '';
  return output.split('\n').flatMap((line) => {
    name = /^\((?:kex|key|enc|mac)\) (\S+)/.exec(line)?.[1] ?? name;
    return /\[(?:fail|warn)\]/.test(line) ? [{ name, text: line }] : [];
  });
}

describe('ssh-audit of the stock configuration', { ...lab, skip: isMissing || lab.skip }, () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ hostKeys: ['rsa', 'ecdsa', 'ed25519'] });
  });
  after(async () => await server?.stop());

  test('no line is a failure or a warning, but for what an old one cannot know', async () => {
    const audit = await auditOf(server);
    assert.match(audit.stdout, /\(kex\) curve25519-sha256 .*\n/, audit.stdout + audit.stderr);
    assert.match(audit.stdout, /\(key\) ssh-ed25519 /);
    assert.match(audit.stdout, /\(mac\) hmac-sha2-256-etm@openssh\.com /);
    const unknown = complaints(audit.stdout).filter(
      ({ name, text }) => !(mistaken.has(name) && text.includes('unknown algorithm')),
    );
    assert.deepEqual(unknown, []);
  });

  test('it does see what is weak, once it is named', async () => {
    await using weak = await startServer({
      hostKeys: ['ecdsa', 'ed25519'],
      config: [
        'KexAlgorithms +ecdh-sha2-nistp256',
        'MACs +hmac-sha2-256',
        'HostKeyAlgorithms +ecdsa-*',
      ],
    });
    const audit = await auditOf(weak);
    const names = new Set(complaints(audit.stdout).map(({ name }) => name));
    for (const name of ['ecdh-sha2-nistp256', 'hmac-sha2-256', 'ecdsa-sha2-nistp256']) {
      assert.ok(names.has(name), audit.stdout);
    }
  });
});
