/** rsync over ssh. Runs in: test, in the lab. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { after, before, describe } from 'node:test';
import { can, inLabWith, largeFile, program, Stage } from '../../support/foreign-client.ts';
import { run } from '../../support/lab.ts';
import { clientArguments, type ClientOutcome } from '../../support/stock-client.ts';

const lab = inLabWith(import.meta.url, 'rsync');

describe('rsync', lab, () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.make();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const rsync = async (...args: readonly string[]): Promise<ClientOutcome> => {
    const ssh = ['ssh', ...clientArguments(stage.server, { key: stage.ed25519 })];
    return await program('/usr/bin/rsync', ['-e', ssh.join(' '), ...args]);
  };
  const there = (path: string) => `alice@127.0.0.1:${path}`;

  can('upload', '9 MiB arrive as they were', async () => {
    const outcome = await rsync('--whole-file', largeFile, there('up'));
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(readFileSync('/home/alice/up').equals(stage.large));
    assert.equal(statSync('/home/alice/up').uid, stage.alice.uid);
  });

  can('download', '9 MiB arrive as they are', async () => {
    rmSync('/tmp/got', { force: true });
    const outcome = await rsync('--whole-file', there(largeFile), '/tmp/got');
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(readFileSync('/tmp/got').equals(stage.large));
  });

  can('changes only', 'sends a changed middle, both ends talking at once', async () => {
    const changed = Buffer.from(stage.large);
    changed.fill(7, 9_000_000, 9_100_000);
    writeFileSync('/tmp/changed', changed);
    stage.offer('delta', stage.large);
    const outcome = await rsync('--no-whole-file', '-I', '--stats', '/tmp/changed', there('delta'));
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(readFileSync('/home/alice/delta').equals(changed));
    const sent = Number(/Literal data: ([\d,]+)/.exec(outcome.text)?.[1]?.replaceAll(',', ''));
    assert.ok(sent < 1_000_000, `${sent} bytes`);
  });

  can('trees', 'keeps modes, times and links, and deletes what is gone', async () => {
    mkdirSync('/tmp/tree/deep/er', { recursive: true });
    for (let at = 0; at < 300; at++) {
      writeFileSync(`/tmp/tree/deep/${at}`, `${at}`.repeat(at), { mode: 0o600 + (at % 8) });
    }
    symlinkSync('deep/1', '/tmp/tree/link');
    const first = await rsync('-a', '--no-o', '--no-g', '/tmp/tree/', there('tree/'));
    assert.equal(first.status, 0, first.stderr);
    rmSync('/tmp/tree/deep/7');
    const second = await rsync(
      '-a',
      '--no-o',
      '--no-g',
      '--delete',
      '-i',
      '/tmp/tree/',
      there('tree/'),
    );
    assert.equal(second.status, 0, second.stderr);
    assert.match(second.text, /^\*deleting +deep\/7$/m);
    assert.equal(run('diff', ['-r', '--no-dereference', '/tmp/tree', '/home/alice/tree']), '');
    const facts = (file: string) => [statSync(file).mode, statSync(file).mtimeMs];
    assert.deepEqual(facts('/home/alice/tree/deep/4'), facts('/tmp/tree/deep/4'));
    assert.equal(statSync('/home/alice/tree/deep/4').mode & 0o777, 0o604);
  });

  can('errors', 'says what it may not read, with its own exit status', async () => {
    const outcome = await rsync(there('/etc/shadow'), '/tmp/shadow');
    assert.equal(outcome.status, 23);
    assert.match(outcome.stderr, /Permission denied/);
  });
});
