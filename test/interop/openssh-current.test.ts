/**
 * The newest OpenSSH client that Debian has, beside the installed one: it warns of what it finds
 * weak, and prefers mlkem768x25519-sha256. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { currentOpenssh, currentOpensshIsMissing } from '../support/current-openssh.ts';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { missingClient } from '../support/missing-client.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { type ClientOptions, outcomeOf, sshArguments } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);
const isMissing =
  lab.skip === false && currentOpensshIsMissing !== false
    ? { skip: `${missingClient} openssh-current: ${currentOpensshIsMissing}` }
    : lab;

/** RFC 5737 */
const address = '192.0.2.1';

describe('the newest OpenSSH client', isMissing, () => {
  let server: TestServer;
  let key: TestKey;
  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    // Weak key exchanges with the machine itself are no reason for it to warn.
    execFileSync('ip', ['address', 'add', `${address}/32`, 'dev', 'lo']);
    server = await startServer({
      hostKeys: ['ed25519', 'rsa'],
      config: ['UsePAM yes', `ListenAddress ${address}`],
    });
  });
  after(async () => await server?.stop());

  /** With the messages that a person sees. */
  async function ssh(options: ClientOptions, command: string, to = server) {
    const args = [
      ...(options.args ?? []),
      ...['-o', 'LogLevel=INFO', '-o', `HostName=${address}`],
      ...['-o', `HostKeyAlias=[127.0.0.1]:${to.port}`],
    ];
    const [program = '', ...rest] = currentOpenssh(
      'ssh',
      sshArguments(to, { key, ...options, args }, command),
    );
    const child = spawn(program, rest, {
      stdio: 'pipe',
      env: { PATH: '/usr/bin:/bin', HOME: '/root' },
    });
    return await outcomeOf(child, { timeoutMs: 60_000, ...options });
  }

  test('logs in without a warning, by a post-quantum key exchange', async () => {
    const quiet = await ssh({}, 'id -un');
    assert.deepEqual([quiet.status, quiet.text, quiet.stderr], [0, 'alice\n', '']);
    const verbose = await ssh({ args: ['-o', 'LogLevel=DEBUG1'] }, 'true');
    assert.match(verbose.stderr, /kex: algorithm: mlkem768x25519-sha256/);
    assert.match(verbose.stderr, /remote software version sshdesk/);
    assert.match(verbose.stderr, /publickey-hostbound@openssh\.com=<0>/);
  });

  test('warns of a server without one: the silence above means something', async () => {
    const old = await startServer({
      config: [`ListenAddress ${address}`, 'KexAlgorithms curve25519-sha256'],
    });
    const outcome = await ssh({}, 'true', old);
    await old.stop();
    assert.equal(outcome.status, 0);
    assert.match(outcome.stderr, /WARNING: connection is not using a post-quantum/);
  });

  test('each cipher and host key that it knows and we offer', async () => {
    for (const cipher of [
      ...['chacha20-poly1305@openssh.com', 'aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'],
      ...['aes128-ctr', 'aes192-ctr', 'aes256-ctr'],
    ]) {
      const outcome = await ssh({ args: ['-o', `Ciphers=${cipher}`] }, 'echo in');
      assert.deepEqual([outcome.status, outcome.text], [0, 'in\n'], `${cipher}: ${outcome.stderr}`);
    }
    for (const algorithm of ['ssh-ed25519', 'rsa-sha2-512', 'rsa-sha2-256']) {
      const outcome = await ssh({ args: ['-o', `HostKeyAlgorithms=${algorithm}`] }, 'echo in');
      assert.deepEqual([outcome.status, outcome.text, outcome.stderr], [0, 'in\n', '']);
    }
  });

  test('20 MB go up and come back the same, with new keys each MB', {
    timeout: 90_000,
  }, async () => {
    const sent = randomBytes(20_000_000);
    const digest = createHash('sha256').update(sent).digest('hex');
    const outcome = await ssh(
      { args: ['-o', 'RekeyLimit=1M', '-o', 'LogLevel=DEBUG1'], input: sent },
      'cat',
    );
    assert.equal(outcome.status, 0, outcome.stderr.slice(-2000));
    assert.equal(createHash('sha256').update(outcome.stdout).digest('hex'), digest);
    const exchanges = outcome.stderr.split('SSH2_MSG_NEWKEYS received').length - 1;
    assert.ok(exchanges > 10, `${exchanges} key exchanges`);
  });
});
