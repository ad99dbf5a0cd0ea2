/** Mutated configurations: a value or ConfigFailure with bounded lines, in bounded time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigFailure } from '../../src/policy/failure.ts';
import { dumpConfig } from '../../src/policy/dump.ts';
import { loadConfig, loadDesktopConfig } from '../../src/policy/load.ts';
import { globExpression } from '../../src/policy/config-source.ts';
import { checkConnectionSpec } from '../../src/policy/connection-spec.ts';
import { memorySource } from '../support/config-files.ts';
import { Mutator } from '../support/mutator.ts';

const corpus = [
  'Include a/*.conf\nUsePAM yes\nX11Forwarding yes\nAcceptEnv LANG LC_*\nSubsystem sftp /x -a "b c"\n',
  'Port 22\nListenAddress [::1]:99\nListenAddress 0.0.0.0\nMaxStartups 3:30:100\nLoginGraceTime 1h30m\n',
  "AllowUsers a b@1.2.3.0/24\nPermitOpen a:1 [::1]:* *:4\nAuthorizedKeysFile %h/%u 'c d'\nForceCommand x \"y\n",
  'MaxStartups=3\nMaxAuthTries 0\nPermitUserEnvironment A,!B\nPidFile none\nLogLevel DEBUG3\nMatch all\n',
];
const budgetMs = 2000;

test('a mutated sshd_config loads or fails with its lines', { timeout: 30_000 }, async () => {
  const mutator = new Mutator();
  const until = performance.now() + budgetMs;
  let loaded = 0;
  for (let round = 0; performance.now() < until; round++) {
    const text = mutator.bytes(Buffer.from(corpus[round % corpus.length] as string));
    const included = mutator.bytes(Buffer.from(corpus[mutator.below(corpus.length)] as string));
    const source = memorySource({ '/c': text, '/etc/ssh/a/x.conf': included });
    try {
      const { config } = await loadConfig({ file: '/c', commandLine: [], source });
      assert.ok(dumpConfig(config).length >= 20);
      loaded++;
    } catch (error) {
      assert.ok(error instanceof ConfigFailure, `${mutator.name}: ${String(error)}`);
      assert.ok(error.lines.length > 0 && error.lines.length <= 101);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: none may reach a terminal
      assert.ok(
        error.lines.every((line) => !/[\u0000-\u001f\u007f]/.test(line)),
        mutator.name,
      );
    }
    try {
      loadDesktopConfig({ file: '/c', isFileRequired: true, cores: 2, source });
    } catch (error) {
      assert.ok(error instanceof ConfigFailure, `${mutator.name}: ${String(error)}`);
    }
    checkConnectionSpec(text.toString('latin1'));
    globExpression(text.toString('latin1'));
  }
  assert.ok(loaded > 0, 'some of them loaded');
});
