/**
 * The client's agent in a desktop: Debian's ssh -A, ssh-agent and ssh-add, a real Xvnc with an xterm
 * in it, hops from there to another sshd. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { listDesktops, sessionsCommand, startDesktopServer } from '../support/desktop-session.ts';
import { DesktopTerminal, Onlooker, terminalSession } from '../support/desktop-terminal.ts';
import { inLab, type LabUser, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SshAgent } from '../support/ssh-agent.ts';
import type { ClientOptions } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);

describe("the client's agent in a desktop", lab, () => {
  let server: TestServer;
  let second: TestServer;
  let alice: LabUser;
  let terminal: DesktopTerminal;
  let entry: TestKey;
  let first: TestKey;
  let other: TestKey;
  let firstAgent: SshAgent;
  let otherAgent: SshAgent;
  const knownSecond = '/tmp/known-second';
  before(async () => {
    [entry, first, other] = [makeKey('ed25519'), makeKey('ed25519'), makeKey('ecdsa')];
    alice = makeUser('alice', { authorizedKeys: [entry.line] });
    makeUser('bob', { authorizedKeys: [first.line, other.line] });
    [firstAgent, otherAgent] = [await SshAgent.start(), await SshAgent.start()];
    await firstAgent.add(first.file);
    await otherAgent.add(other.file);
    terminal = new DesktopTerminal(alice);
    server = await startDesktopServer(terminalSession, { config: ['LogLevel DEBUG3'] });
    second = await startServer({ config: ['UsePAM yes', 'LogLevel VERBOSE'] });
    writeFileSync(knownSecond, readFileSync(second.knownHosts), { mode: 0o644 });
  });
  after(async () => {
    await server?.stop();
    await second?.stop();
    await firstAgent?.[Symbol.asyncDispose]();
    await otherAgent?.[Symbol.asyncDispose]();
  });

  const from = (agent: SshAgent): ClientOptions => ({
    key: entry,
    args: ['-A'],
    environment: agent.environment,
  });
  const hop = (command: string): string =>
    `ssh -F none -o BatchMode=yes -o UserKnownHostsFile=${knownSecond} -p ${second.port} bob@127.0.0.1 ${command}`;

  test('ssh-add -l in its terminal, and a hop, before a suspend and after a resume', async () => {
    await using viewer = await Onlooker.come(server, from(firstAgent));
    const listed = await terminal.run('ssh-add -L; stat -c "%a %U %F" $SSH_AUTH_SOCK');
    assert.equal(listed.text, `${first.line}\n600 alice socket\n`);
    assert.deepEqual(await terminal.run(hop('whoami')), { status: 0, text: 'bob\n' });
    const [desktop] = listDesktops();
    assert.equal(sessionsCommand(['suspend', 'default'], alice).status, 0);
    await viewer.hasEnded;
    const none = await terminal.run('ssh-add -l');
    assert.deepEqual(none, {
      status: 1,
      text: 'error fetching identities: agent refused operation\n',
    });
    const failed = await terminal.run(hop('whoami'));
    assert.equal(failed.status, 255);
    assert.match(failed.text, /Permission denied \(publickey/);
    await using again = await Onlooker.come(server, from(otherAgent));
    assert.equal(listDesktops()[0]?.id, desktop?.id);
    assert.equal((await terminal.run('ssh-add -L')).text, `${other.line}\n`);
    assert.deepEqual(await terminal.run(hop('whoami')), { status: 0, text: 'bob\n' });
    await second.logged(
      /Accepted publickey for bob .* ED25519 [^]*Accepted publickey for bob .* ECDSA /,
    );
    await again.go();
    await eventually('nobody looks', () => listDesktops()[0]?.viewers === 0);
  });
});
