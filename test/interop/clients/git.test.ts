/** git over ssh: clone, push, fetch, a shallow clone, a refused push. Runs in: test, in the lab. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe } from 'node:test';
import { can, inLabWith, program, Stage } from '../../support/foreign-client.ts';
import { run } from '../../support/lab.ts';
import { clientArguments, type ClientOutcome } from '../../support/stock-client.ts';

const lab = inLabWith(import.meta.url, 'git');

describe('git', lab, () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.make();
    run('runuser', ['-u', 'alice', '--', 'git', 'init', '-q', '--bare', '/home/alice/depot.git']);
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const git = async (cwd: string, ...args: readonly string[]): Promise<ClientOutcome> =>
    await program('/usr/bin/git', ['-c', 'init.defaultBranch=main', ...args], {
      cwd,
      environment: {
        GIT_SSH_COMMAND: ['ssh', ...clientArguments(stage.server, { key: stage.ed25519 })].join(
          ' ',
        ),
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_AUTHOR_NAME: 'a',
        GIT_AUTHOR_EMAIL: 'a@lab.test',
        GIT_COMMITTER_NAME: 'a',
        GIT_COMMITTER_EMAIL: 'a@lab.test',
      },
    });
  const good = async (cwd: string, ...args: readonly string[]): Promise<string> => {
    const outcome = await git(cwd, ...args);
    assert.equal(outcome.status, 0, `git ${args.join(' ')}: ${outcome.stderr}`);
    return outcome.text;
  };
  const url = 'alice@127.0.0.1:depot.git';

  can('upload', 'pushes a commit with 9 MiB and 200 files', async () => {
    await good('/tmp', 'init', '-q', 'tree');
    writeFileSync('/tmp/tree/large', stage.large);
    for (let at = 0; at < 200; at++) {
      writeFileSync(`/tmp/tree/file-${at}`, `${at}\n`.repeat(at));
    }
    await good('/tmp/tree', 'add', '.');
    await good('/tmp/tree', 'commit', '-qm', 'first');
    await good('/tmp/tree', 'push', '-q', url, 'HEAD:main');
    const here = await good('/tmp/tree', 'rev-parse', 'HEAD');
    const there = run('runuser', [
      ...['-u', 'alice', '--', 'git', '-C', '/home/alice/depot.git', 'rev-parse', 'main'],
    ]);
    assert.equal(there, here);
  });

  can('download', 'clones it, whole and shallow', async () => {
    await good('/tmp', 'clone', '-q', '-b', 'main', url, 'clone');
    assert.ok(readFileSync('/tmp/clone/large').equals(stage.large));
    assert.equal(await good('/tmp/clone', 'fsck', '--no-progress'), '');
    await good(
      '/tmp',
      'clone',
      '-q',
      '-b',
      'main',
      '--depth',
      '1',
      `ssh://alice@127.0.0.1:${stage.port}/~/depot.git`,
      'shallow',
    );
    assert.ok(readFileSync('/tmp/shallow/large').equals(stage.large));
  });

  can('fetch', 'gets what another pushed', async () => {
    writeFileSync('/tmp/tree/news', randomBytes(1000).toString('hex'));
    await good('/tmp/tree', 'add', '.');
    await good('/tmp/tree', 'commit', '-qm', 'second');
    await good('/tmp/tree', 'push', '-q', url, 'HEAD:main');
    await good('/tmp/clone', 'pull', '-q', '--ff-only');
    assert.equal(readFileSync('/tmp/clone/news', 'utf8'), readFileSync('/tmp/tree/news', 'utf8'));
  });

  can('errors', 'shows what a hook says and takes its refusal', async () => {
    const hook = stage.offer(
      'depot.git/hooks/pre-receive',
      '#!/bin/sh\necho not today >&2\nexit 1\n',
    );
    chmodSync(hook, 0o755);
    writeFileSync('/tmp/tree/refused', 'x');
    await good('/tmp/tree', 'add', '.');
    await good('/tmp/tree', 'commit', '-qm', 'third');
    const outcome = await git('/tmp/tree', 'push', url, 'HEAD:main');
    assert.equal(outcome.status, 1);
    assert.match(outcome.stderr, /remote: not today/);
    assert.match(outcome.stderr, /pre-receive hook declined/);
  });
});
