/**
 * The client's agent in a desktop while workers die, daemons are reloaded, replaced and killed, and
 * where it is forbidden. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { listDesktops, startDesktopServer } from '../support/desktop-session.ts';
import {
  DesktopTerminal,
  Onlooker,
  refusedByAgent as refused,
  terminalSession,
} from '../support/desktop-terminal.ts';
import { inLab, type LabUser, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { rootless, startServer, type TestServer } from '../support/server.ts';
import { SshAgent } from '../support/ssh-agent.ts';
import type { ClientOptions } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);

describe("the client's agent in a desktop that outlives its servers", lab, () => {
  let server: TestServer;
  let alice: LabUser;
  let terminal: DesktopTerminal;
  let entry: TestKey;
  let first: TestKey;
  let other: TestKey;
  let firstAgent: SshAgent;
  let otherAgent: SshAgent;
  const stopped: TestServer[] = [];
  before(async () => {
    entry = makeKey('ed25519');
    [first, other] = [makeKey('ed25519'), makeKey('ecdsa')];
    alice = makeUser('alice', { authorizedKeys: [entry.line] });
    [firstAgent, otherAgent] = [await SshAgent.start(), await SshAgent.start()];
    await firstAgent.add(first.file);
    await otherAgent.add(other.file);
    terminal = new DesktopTerminal(alice);
    server = await startDesktopServer(terminalSession);
  });
  after(async () => {
    for (const one of [...stopped, server]) {
      await one?.stop();
    }
    await firstAgent?.[Symbol.asyncDispose]();
    await otherAgent?.[Symbol.asyncDispose]();
  });

  /** What goes on of it is not touched. */
  async function replace(
    signal: NodeJS.Signals,
    between: () => Promise<void> = async () => {},
  ): Promise<void> {
    process.kill(server.pid, signal);
    stopped.push(server);
    await between();
    server = await startDesktopServer(terminalSession);
  }
  beforeEach(() =>
    // That the client of the last test has gone is known a moment later.
    eventually('nobody looks', () => listDesktops().every(({ viewers }) => viewers === 0)),
  );

  const keys = async (): Promise<string> => (await terminal.run('ssh-add -L')).text.trim();
  const from = (agent: SshAgent): ClientOptions => ({
    key: entry,
    args: ['-A'],
    environment: agent.environment,
  });

  test('after a worker has died, a reload and a new daemon', async () => {
    const viewer = await Onlooker.come(server, from(firstAgent));
    assert.equal(await keys(), first.line);
    const [desktop] = listDesktops();
    for (const { pid, title } of server.processes()) {
      if (/^sshdesk: worker/.test(title)) {
        process.kill(pid, 'SIGKILL');
      }
    }
    await viewer.hasEnded;
    await eventually('nobody looks', () => listDesktops()[0]?.viewers === 0);
    assert.deepEqual(await terminal.run('ssh-add -l'), refused);
    await using stays = await Onlooker.come(server, from(otherAgent));
    assert.equal(await keys(), other.line);
    process.kill(server.pid, 'SIGHUP');
    await server.logged(/Received SIGHUP; restarting/);
    assert.equal(await keys(), other.line);
    await using reloaded = await Onlooker.come(server, from(firstAgent));
    assert.equal(await keys(), first.line);
    await reloaded.go();
    await stays.go();
    await replace('SIGKILL', async () => {
      assert.deepEqual(await terminal.run('ssh-add -l'), refused);
    });
    assert.equal(listDesktops()[0]?.id, desktop?.id);
    assert.deepEqual(await terminal.run('ssh-add -l'), refused);
    await using _again = await Onlooker.come(server, from(otherAgent));
    assert.equal(await keys(), other.line);
  });

  test('the client of a daemon that drains serves on, behind one of the new daemon', async () => {
    await using old = await Onlooker.come(server, from(firstAgent));
    assert.equal(await keys(), first.line);
    await replace('SIGTERM');
    await eventually('the new one to count it', () => listDesktops()[0]?.viewers === 1);
    assert.equal(await keys(), first.line);
    const fresh = await Onlooker.come(server, from(otherAgent));
    assert.equal(await keys(), other.line);
    await fresh.go();
    await eventually('it has gone', () => listDesktops()[0]?.viewers === 1);
    assert.equal(await keys(), first.line);
    await old.go();
    await eventually('nobody looks', () => listDesktops()[0]?.viewers === 0);
    assert.deepEqual(await terminal.run('ssh-add -l'), refused);
  });

  test('a Match block that forbids it: a desktop has no socket for it', async () => {
    const dora = makeUser('dora', { authorizedKeys: [entry.line] });
    const hers = new DesktopTerminal(dora);
    await server.stop();
    const block = ['Match User dora', 'AllowAgentForwarding no'];
    server = await startDesktopServer(terminalSession, {
      config: ['AllowAgentForwarding yes', ...block],
    });
    await using _viewer = await Onlooker.come(server, { ...from(firstAgent), user: 'dora' });
    const { text } = await hers.run('echo "<$SSH_AUTH_SOCK>"; ls -A $XDG_RUNTIME_DIR/..');
    assert.match(text, /^<>\n/);
    assert.doesNotMatch(text, /agent/);
  });

  test('without root too', async () => {
    await server.stop();
    terminal.prepare();
    await using own = await startServer({
      ...rootless(alice),
      desktopConfig: [`XSession ${terminalSession}`],
    });
    const viewer = await Onlooker.come(own, from(firstAgent));
    assert.equal(await keys(), first.line);
    assert.match((await terminal.run('stat -c "%a %U" $SSH_AUTH_SOCK')).text, /^600 alice$/m);
    await viewer.go();
    await own.logged(/Disconnected from user alice/);
    assert.deepEqual(await terminal.run('ssh-add -l'), refused);
  });
});
