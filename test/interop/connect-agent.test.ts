/**
 * `sshdesk connect -A`: the person's agent, asked for on the channel of a desktop too, and only then.
 * The server is Debian's sshd, whose subsystem says what it finds. Runs in: test.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { run } from '../support/child.ts';
import { DebianSshd } from '../support/debian-sshd.ts';
import { SshAgent } from '../support/ssh-agent.ts';

const cli = join(import.meta.dirname, '../support/connect-cli.ts');
const isRoot = process.getuid?.() === 0;

describe('connect forwards the agent', {
  skip: isRoot ? false : 'needs root',
  timeout: 60_000,
}, () => {
  let sshd: DebianSshd;
  let agent: SshAgent;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sshdesk-agent-'));
    agent = await SshAgent.start();
    const script = join(folder, 'desktop');
    await writeFile(script, `#!/bin/sh\nssh-add -L > ${folder}/seen 2>&1\n`, { mode: 0o755 });
    sshd = await DebianSshd.start({ subsystems: { rfb: script, display: script } });
    await agent.add(sshd.userKey);
  });
  after(async () => {
    await sshd?.[Symbol.asyncDispose]();
    await agent?.[Symbol.asyncDispose]();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  const options = (): string[] => [
    ...['-F', 'none', '-i', sshd.userKey, '--batch'],
    ...['-o', 'StrictHostKeyChecking=accept-new'],
    ...['-o', `UserKnownHostsFile=${join(folder, 'known_hosts')}`],
    ...['-p', String(sshd.port), 'root@127.0.0.1'],
  ];
  /** What `ssh-add -L` says where the desktop should be; and what connect says. */
  const seen = async (env: NodeJS.ProcessEnv, ...args: string[]) => {
    const picture = ['--screenshot', join(folder, 'none.png')];
    const outcome = await run(
      process.execPath,
      [cli, 'connect', ...args, ...picture, ...options()],
      {
        env: { ...process.env, ...env },
      },
    );
    return { told: outcome.stderr, agent: await readFile(join(folder, 'seen'), 'utf8') };
  };

  test('-A and ForwardAgent give it to a desktop, named ones too', async () => {
    const env = { SSH_AUTH_SOCK: agent.socket };
    const key = (await readFile(`${sshd.userKey}.pub`, 'utf8')).split(' ')[1] as string;
    for (const args of [['-A'], ['-A', '--session', 'work'], ['-o', 'ForwardAgent=yes']]) {
      assert.ok((await seen(env, ...args)).agent.includes(key), args.join(' '));
    }
    const named = ['-o', `ForwardAgent=${agent.socket}`];
    assert.ok((await seen({ SSH_AUTH_SOCK: '' }, ...named)).agent.includes(key));
  });

  test('nobody gets it unasked, nor with -a over the configuration', async () => {
    const env = { SSH_AUTH_SOCK: agent.socket };
    for (const args of [[], ['-a', '-o', 'ForwardAgent=yes']]) {
      const { agent: found } = await seen(env, ...args);
      assert.match(found, /Could not open a connection/, args.join(' '));
    }
  });

  test('where there is none to forward it says so, and goes on', async () => {
    const { told, agent: found } = await seen({ SSH_AUTH_SOCK: '' }, '-A');
    assert.match(told, /no agent to forward/);
    assert.match(found, /Could not open a connection/);
  });

  test('an agent that has gone is an error of who asks, and the connection lives', async () => {
    const { told, agent: found } = await seen({ SSH_AUTH_SOCK: join(folder, 'gone') }, '-A');
    // Where its socket is closed before it has asked, ssh-add ends of SIGPIPE.
    assert.match(found + told, /error fetching identities|agent failed|exit status 141/);
  });
});
