/**
 * Mosh: ssh starts mosh-server in a terminal, reads port and key from it, and leaves; the rest is UDP.
 * The server must let what outlives the connection live. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { eventually } from '../../support/child.ts';
import { can, inLabWith, Stage } from '../../support/foreign-client.ts';
import { allProcesses, processTree } from '../../support/server.ts';
import { clientArguments } from '../../support/stock-client.ts';
import { openTerminal } from '../../support/terminal.ts';

const lab = inLabWith(import.meta.url, 'mosh');

describe('Mosh', lab, () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.make(['AcceptEnv LANG LC_*']);
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  can('pty', 'a shell goes on after the SSH connection has ended', async () => {
    const ssh = ['ssh', ...clientArguments(stage.server, { key: stage.ed25519 })].join(' ');
    const terminal = openTerminal(
      '/usr/bin/env',
      [
        ...['LANG=C.UTF-8', 'LC_ALL=C.UTF-8', '/usr/bin/mosh', '--ssh', ssh, '--predict=never'],
        ...['-p', '60001:60099', 'alice@127.0.0.1'],
      ],
      { rows: 30, columns: 90 },
    );
    await terminal.shows(/alice@host:~\$/, 20_000);
    await eventually('no SSH connection is left', () =>
      processTree(stage.server.pid).every(({ title }) => !/leader alice|sshd: alice/.test(title)),
    );
    terminal.type('echo al""ive $((6 * 7)); stty size\n');
    await terminal.shows(/alive 42/, 20_000);
    await terminal.shows(/30 90/, 20_000);
    terminal.type('exit\n');
    assert.equal(await terminal.ended, 0);
    await eventually('mosh-server has ended', () =>
      allProcesses().every(({ title }) => !title.startsWith('mosh-server')),
    );
  });
});
