/**
 * The client's agent in a desktop: Debian's ssh -A, ssh-agent and ssh-add, a real Xvnc with an xterm
 * in it, hops from there to another sshd. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Card, noCard } from '../support/card.ts';
import { eventually, output } from '../support/child.ts';
import { connectClient } from '../support/desktop-look.ts';
import { firstPicture } from '../support/rfb-client.ts';
import { listDesktops, sessionsCommand, startDesktopServer } from '../support/desktop-session.ts';
import {
  DesktopTerminal,
  Onlooker,
  refusedByAgent as refused,
  terminalSession,
} from '../support/desktop-terminal.ts';
import { inLab, type LabUser, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SshAgent } from '../support/ssh-agent.ts';
import { type ClientOptions, spawnClient, ssh, sshArguments } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);

/** Answers what the client itself asks first (session-bind@openssh.com), and nothing behind it. */
class SilentAgent implements AsyncDisposable {
  readonly path = path.join(mkdtempSync('/tmp/silent-agent-'), 'agent');
  readonly #server = createServer((socket) => {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(Buffer.from([0, 0, 0, 1, 6]));
      socket.on('data', () => {
        this.requests++;
      });
    });
  });
  readonly #sockets = new Set<Socket>();
  requests = 0;

  static async start(): Promise<SilentAgent> {
    const agent = new SilentAgent();
    await new Promise<void>((resolve) => agent.#server.listen(agent.path, resolve));
    return agent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sockets.forEach((socket) => socket.destroy());
    this.#server.close();
  }
}

describe("the client's agent in a desktop", lab, () => {
  let server: TestServer;
  let second: TestServer;
  let alice: LabUser;
  let terminal: DesktopTerminal;
  let entry: TestKey;
  let barred: TestKey;
  let first: TestKey;
  let other: TestKey;
  let firstAgent: SshAgent;
  let otherAgent: SshAgent;
  const knownSecond = '/tmp/known-second';
  before(async () => {
    [entry, barred] = [makeKey('ed25519'), makeKey('ed25519')];
    [first, other] = [makeKey('ed25519'), makeKey('ecdsa')];
    alice = makeUser('alice', {
      authorizedKeys: [entry.line, `no-agent-forwarding ${barred.line}`],
    });
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
    assert.deepEqual(await terminal.run('ssh-add -l'), refused);
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

  test('whoever came last serves, and when he goes the one before him', async () => {
    await using _first = await Onlooker.come(server, from(firstAgent));
    assert.equal(await keys(), first.line);
    const last = await Onlooker.come(server, from(otherAgent));
    assert.equal(await keys(), other.line);
    await using _without = await Onlooker.come(server, { key: entry });
    assert.equal(await keys(), other.line, 'a client without -A takes nothing away');
    await last.go();
    await eventually('he has gone', () => listDesktops()[0]?.viewers === 2);
    assert.equal(await keys(), first.line);
  });

  test('forty at once are served, and a signature is made', async () => {
    await using _viewer = await Onlooker.come(server, from(firstAgent));
    const many = 'for i in $(seq 40); do ssh-add -l >/dev/null || echo failed & done; wait';
    assert.deepEqual(await terminal.run(many), { status: 0, text: '' });
    const { status, text } = await terminal.run(
      'ssh-add -L >it.pub && echo data | ssh-keygen -Y sign -q -n test -f it.pub',
    );
    assert.equal(status, 0, text);
    assert.match(text, /BEGIN SSH SIGNATURE/);
  });

  test('what is asked when its connection breaks ends at once, and the next is refused', async () => {
    await using silent = await SilentAgent.start();
    for (const end of ['the client', 'its leader'] as const) {
      const viewer = await Onlooker.come(server, {
        key: entry,
        args: ['-o', `ForwardAgent=${silent.path}`],
        environment: firstAgent.environment,
      });
      const asked = await terminal.start('ssh-add -l');
      await eventually(`${end}: the request`, () => silent.requests > 0);
      assert.equal(terminal.hasEnded(asked), false);
      if (end === 'the client') {
        await viewer.go('SIGKILL');
      } else {
        assert.equal(sessionsCommand(['suspend', 'default'], alice).status, 0);
      }
      const broken = await terminal.outcome(asked);
      assert.deepEqual(broken, {
        status: 1,
        text: 'error fetching identities: communication with agent failed\n',
      });
      await eventually('nobody looks', () => listDesktops()[0]?.viewers === 0);
      assert.deepEqual(await terminal.run('ssh-add -l'), refused);
      await viewer.go();
      silent.requests = 0;
    }
  });

  test('keys of a card in the agent sign there, and open the next host', {
    skip: noCard() ?? false,
  }, async () => {
    const card = new Card();
    card.makeKey('rsa:2048', '01');
    card.makeKey('EC:prime256v1', '02');
    const { SSH_ASKPASS, SSH_ASKPASS_REQUIRE, ...library } = card.environment();
    await using agent = await SshAgent.start(['-P', '/usr/lib/*'], library);
    const env = {
      ...process.env,
      ...library,
      ...agent.environment,
      SSH_ASKPASS,
      SSH_ASKPASS_REQUIRE,
    };
    await output('ssh-add', ['-q', '-s', card.module], { env });
    makeUser('carol', { authorizedKeys: card.keys() });
    await using _viewer = await Onlooker.come(server, from(agent));
    const listed = (await terminal.run('ssh-add -L')).text.trim().split('\n');
    const blobs = (lines: readonly string[]) => lines.map((line) => line.split(' ')[1]).toSorted();
    assert.deepEqual(blobs(listed), blobs(card.keys()));
    for (const line of listed) {
      const signed = await terminal.run(
        `echo '${line}' >card.pub; echo data | ssh-keygen -Y sign -q -n test -f card.pub`,
      );
      assert.match(signed.text, /BEGIN SSH SIGNATURE/);
      const hopped = await terminal.run(
        hop('whoami')
          .replace('bob@', 'carol@')
          .replace('-o B', '-o IdentitiesOnly=yes -i card.pub -o B'),
      );
      assert.deepEqual(hopped, { status: 0, text: 'carol\n' });
    }
  });

  test('a key that is bound to a way goes this way and no other', async () => {
    await using third = await startServer({ config: ['UsePAM yes'] });
    await using bound = await SshAgent.start();
    const known = '/tmp/known-all';
    const all = [server, second, third].map(({ knownHosts }) => readFileSync(knownHosts, 'utf8'));
    writeFileSync(known, all.join(''), { mode: 0o644 });
    const name = (one: TestServer): string => `[127.0.0.1]:${one.port}`;
    const way = ['-H', known, '-h', name(server), '-h', `${name(server)}>${name(second)}`];
    await bound.add(first.file, ...way);
    await using _viewer = await Onlooker.come(server, from(bound));
    const goTo = (to: TestServer): string =>
      `ssh -F none -o BatchMode=yes -o UserKnownHostsFile=${known} -p ${to.port} bob@127.0.0.1 whoami`;
    assert.deepEqual(await terminal.run(goTo(second)), { status: 0, text: 'bob\n' });
    const forbidden = await terminal.run(goTo(third));
    assert.equal(forbidden.status, 255);
    assert.match(forbidden.text, /Permission denied/);
  });

  test('a key without agent forwarding, and a login that asks for it later', async () => {
    await using _viewer = await Onlooker.come(server, { ...from(otherAgent), key: barred });
    assert.deepEqual(await terminal.run('ssh-add -l'), refused);
    const control = ['-o', 'ControlPath=/tmp/desktop-control-%C'];
    const sharing = (...more: readonly string[]): ClientOptions => ({
      ...from(firstAgent),
      args: [...control, ...more],
    });
    const nothing = sharing('-A', '-M', '-N');
    const master = spawnClient('ssh', sshArguments(server, nothing), nothing);
    await eventually('the master', async () => (await ssh(server, sharing(), 'true')).status === 0);
    await using shared = await Onlooker.come(server, sharing());
    assert.deepEqual(await terminal.run('ssh-add -l'), refused);
    const asking = await ssh(server, sharing('-A'), 'true');
    assert.equal(asking.status, 0, asking.stderr);
    assert.equal(await keys(), first.line);
    // It holds the pipes of those whom it serves.
    master.kill('SIGKILL');
    await shared.go('SIGKILL');
  });

  /** Through the dialogue of `display`, a viewer on a loopback port. */
  async function connected(agent: SshAgent, use: () => Promise<void>): Promise<void> {
    await using client = connectClient(server, {
      user: 'alice',
      key: entry,
      args: ['-A', '--listen', '0'],
      environment: { ...process.env, ...agent.environment },
    });
    await eventually('its port', () => /127\.0\.0\.1:\d+/.test(client.stdout + client.stderr));
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(client.stdout + client.stderr)?.[1]);
    const viewer = connect(port, '127.0.0.1');
    // To its end: Xvnc shuts those out for a while who break off in the middle of a greeting.
    await firstPicture(viewer, viewer);
    await use();
    viewer.destroy();
  }

  test('our own client brings it too, and binds each connection to the host', async () => {
    await connected(otherAgent, async () => assert.equal(await keys(), other.line));
    await using bound = await SshAgent.start();
    const known = '/tmp/known-both';
    const both = [server, second].map(({ knownHosts }) => readFileSync(knownHosts, 'utf8'));
    writeFileSync(known, both.join(''), { mode: 0o644 });
    const name = (one: TestServer): string => `[127.0.0.1]:${one.port}`;
    const way = ['-H', known, '-h', name(server), '-h', `${name(server)}>${name(second)}`];
    await bound.add(first.file, ...way);
    await connected(bound, async () => {
      assert.deepEqual(await terminal.run(hop('whoami')), { status: 0, text: 'bob\n' });
    });
    await using elsewhere = await SshAgent.start();
    await elsewhere.add(first.file, '-H', known, '-h', name(server));
    await connected(elsewhere, async () => {
      assert.match((await terminal.run(hop('whoami'))).text, /Permission denied/);
    });
  });

  test('from a desktop no module is loaded into the agent', {
    skip: noCard() ?? false,
  }, async () => {
    const card = new Card();
    card.makeKey('EC:prime256v1', '01');
    const { SOFTHSM2_CONF = '' } = card.environment();
    await using agent = await SshAgent.start(['-P', '/usr/lib/*'], { SOFTHSM2_CONF });
    writeFileSync('/tmp/askpass-desktop', '#!/bin/sh\necho 135791\n', { mode: 0o755 });
    const add = [
      ...['SSH_ASKPASS=/tmp/askpass-desktop', 'SSH_ASKPASS_REQUIRE=force'],
      ...['ssh-add', '-s', card.module],
    ].join(' ');
    const isRefused = async (): Promise<void> => {
      const { status, text } = await terminal.run(add);
      assert.equal(status, 1, text);
      assert.match(text, /agent refused operation/);
    };
    await connected(agent, isRefused);
    await using _viewer = await Onlooker.come(server, from(agent));
    await isRefused();
  });
});
