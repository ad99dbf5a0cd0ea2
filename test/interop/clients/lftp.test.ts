/** lftp's own SFTP client, over the `ssh` it starts. Runs in: test, in the lab. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, describe } from 'node:test';
import {
  can,
  inLabWith,
  largeFile,
  password,
  program,
  Stage,
} from '../../support/foreign-client.ts';
import { run } from '../../support/lab.ts';
import { clientArguments, type ClientOutcome } from '../../support/stock-client.ts';

const lab = inLabWith(import.meta.url, 'lftp');

describe('lftp', lab, () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.make();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const lftp = async (commands: readonly string[], withKey = true): Promise<ClientOutcome> => {
    const ssh = [
      'ssh',
      '-a',
      '-x',
      ...clientArguments(stage.server, withKey ? { key: stage.ed25519 } : {}),
    ];
    const script = [
      ...['set cmd:fail-exit yes', 'set net:max-retries 1', 'set net:timeout 20'],
      `set sftp:connect-program "${ssh.join(' ')}"`,
      `open -u alice,${withKey ? 'none' : `'${password}'`} sftp://127.0.0.1`,
      ...commands,
    ];
    // From its stdin: the password does not stand in an argument.
    return await program('/usr/bin/lftp', ['--norc'], { input: `${script.join('\n')}\n` });
  };

  can('key ed25519', 'lists the home', async () => {
    const outcome = await lftp(['cls -a -1']);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.match(outcome.text, /^\.bashrc$/m);
  });

  can('password', 'lists the home', async () => {
    const outcome = await lftp(['cls -a -1'], false);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.match(outcome.text, /^\.bashrc$/m);
  });

  can('upload', '9 MiB arrive as they were', async () => {
    const outcome = await lftp([`put ${largeFile} -o up`]);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(readFileSync('/home/alice/up').equals(stage.large));
  });

  can('download', '9 MiB in four pieces at once arrive as they are', async () => {
    rmSync('/tmp/got', { force: true });
    const outcome = await lftp([`pget -n 4 ${largeFile} -o /tmp/got`]);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(readFileSync('/tmp/got').equals(stage.large));
  });

  can('sftp', 'mirrors 200 files there and back over four connections', async () => {
    mkdirSync('/tmp/tree/deep', { recursive: true });
    for (let at = 0; at < 200; at++) {
      writeFileSync(`/tmp/tree/${at % 2 === 0 ? 'deep/' : ''}file ${at}`, `${at}`.repeat(at * 11));
    }
    const outcome = await lftp([
      'mirror -R --parallel=4 /tmp/tree there',
      'mirror --parallel=4 there /tmp/back',
    ]);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.equal(run('diff', ['-r', '/tmp/tree', '/tmp/back']), '');
  });
});
