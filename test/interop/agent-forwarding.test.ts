/** The client's agent in sessions of the server, with Debian's ssh, ssh-agent and ssh-add. In the lab. */
import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { inLab, makeKey, makeUser, type LabUser, type TestKey } from '../support/lab.ts';
import { rootless, serverKind, startServer, type TestServer } from '../support/server.ts';
import { SshAgent } from '../support/ssh-agent.ts';
import { type ClientOptions, ssh, spawnClient, sshArguments } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 240_000);
/** Directories of agents that servers have made. */
const made = (): readonly string[] =>
  readdirSync('/tmp').filter((name) => /^ssh-\w{10,12}$/.test(name));

describe('agent forwarding', lab, () => {
  let server: TestServer;
  let agent: SshAgent;
  let key: TestKey;
  let other: TestKey;
  let alice: LabUser;
  let options: ClientOptions;
  before(async () => {
    key = makeKey('ed25519');
    other = makeKey('ecdsa');
    alice = makeUser('alice', { authorizedKeys: [key.line, `no-agent-forwarding ${other.line}`] });
    makeUser('bob', { authorizedKeys: [key.line] });
    agent = await SshAgent.start();
    await agent.add(key.file);
    server = await startServer({ config: ['UsePAM yes'] });
    options = { key, args: ['-A'], environment: agent.environment };
  });
  after(async () => {
    await server?.stop();
    await agent?.[Symbol.asyncDispose]();
  });

  test('ssh-add -l lists the keys of the client', async () => {
    const { status, text, stderr } = await ssh(server, options, 'ssh-add -L');
    assert.equal(status, 0, stderr);
    assert.equal(text.trim(), key.line);
  });

  test('the socket is 0600 in a directory 0700 of the user, and is removed at the end', async () => {
    const { text } = await ssh(
      server,
      options,
      'echo $SSH_AUTH_SOCK; stat -c "%a %U %F" $SSH_AUTH_SOCK $(dirname $SSH_AUTH_SOCK)',
    );
    const [socket, ...modes] = text.trim().split('\n');
    assert.match(socket ?? '', /^\/tmp\/ssh-\w{10,12}\/agent\.\d+$/);
    // sshd relies on the directory alone.
    const mode = serverKind === 'sshd' ? '755' : '600';
    assert.deepEqual(modes, [`${mode} alice socket`, '700 alice directory']);
    await eventually('it is removed', () => made().length === 0);
  });

  test('without -A, and where key or configuration forbid it, there is no socket', async () => {
    const command = 'echo "<$SSH_AUTH_SOCK>"';
    assert.equal((await ssh(server, { ...options, args: [] }, command)).text, '<>\n');
    assert.equal((await ssh(server, { ...options, key: other }, command)).text, '<>\n');
    for (const line of ['AllowAgentForwarding no', 'DisableForwarding yes']) {
      if (serverKind === 'sshd' && line === 'DisableForwarding yes') {
        continue; // CVE-2025-32728: 9.2 forwards all the same
      }
      await using closed = await startServer({ config: ['UsePAM yes', line] });
      const { status, text } = await ssh(closed, options, command);
      assert.deepEqual([status, text], [0, '<>\n'], line);
    }
    assert.deepEqual(made(), []);
  });

  test('another user of the machine cannot reach it, root can', async () => {
    const child = spawnClient(
      'ssh',
      sshArguments(server, options, 'echo $SSH_AUTH_SOCK; cat'),
      options,
    );
    const [line] = await new Promise<string[]>((resolve) =>
      child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().split('\n'))),
    );
    const asBob = await ssh(
      server,
      { key, user: 'bob' },
      `SSH_AUTH_SOCK=${line} ssh-add -l 2>&1; ls $(dirname ${line}) 2>&1`,
    );
    assert.match(asBob.text, /Error connecting to agent: Permission denied/);
    assert.match(asBob.text, /ls: cannot open directory .*Permission denied/);
    child.stdin.end();
    await new Promise((resolve) => child.once('close', resolve));
  });

  test('a signature is made through two hops', async () => {
    await using second = await startServer({ config: ['UsePAM yes'] });
    writeFileSync('/tmp/known_second', readFileSync(second.knownHosts), { mode: 0o644 });
    const hop = [
      ...['ssh', '-A', '-F', 'none', '-o', 'BatchMode=yes', '-o', 'LogLevel=ERROR'],
      ...['-o', 'UserKnownHostsFile=/tmp/known_second', '-p', String(second.port)],
      ...['bob@127.0.0.1', '"ssh-add -L; echo data | ssh-keygen -Y sign -q -n test -f'],
      ...['/dev/stdin /dev/null; whoami"'],
    ].join(' ');
    const { status, text, stderr } = await ssh(server, options, hop);
    assert.equal(status, 0, stderr);
    assert.ok(text.startsWith(key.line), `${text}${stderr}`);
    assert.match(text, /^bob$/m);
  });

  test('a key that is bound to a way goes this way and no other', async () => {
    // What the agent asks of the last hop is publickey-hostbound-v00@openssh.com.
    await using second = await startServer({ config: ['UsePAM yes'], kind: 'sshd' });
    await using third = await startServer({ config: ['UsePAM yes'], kind: 'sshd' });
    await using bound = await SshAgent.start();
    const known = '/tmp/known_all';
    const all = [server, second, third].map(({ knownHosts }) => readFileSync(knownHosts, 'utf8'));
    writeFileSync(known, all.join(''), { mode: 0o644 });
    const name = (one: TestServer): string => `[127.0.0.1]:${one.port}`;
    await bound.add(
      key.file,
      ...['-H', known, '-h', name(server), '-h', `${name(server)}>${name(second)}`],
    );
    const from: ClientOptions = {
      args: ['-A', '-o', 'IdentitiesOnly=no', '-o', 'IdentityFile=none'],
      environment: bound.environment,
    };
    const hop = (to: TestServer): string =>
      `ssh -F none -o BatchMode=yes -o UserKnownHostsFile=${known} -p ${to.port} bob@127.0.0.1 whoami`;
    const allowed = await ssh(server, from, hop(second));
    assert.deepEqual([allowed.status, allowed.text], [0, 'bob\n'], allowed.stderr);
    const forbidden = await ssh(server, from, hop(third));
    assert.equal(forbidden.status, 255, forbidden.stderr);
    assert.match(forbidden.stderr, /Permission denied/);
  });

  test('many at once are served, and two users have sockets of their own', async () => {
    const many = 'for i in $(seq 40); do ssh-add -l >/dev/null & done; wait; ssh-add -L';
    const [first, second] = await Promise.all([
      ssh(server, options, many),
      ssh(server, { ...options, user: 'bob' }, `${many}; stat -c %U $SSH_AUTH_SOCK`),
    ]);
    assert.equal(first.text.trim(), key.line, first.stderr);
    assert.deepEqual(second.text.trim().split('\n'), [key.line, 'bob'], second.stderr);
  });

  test('every later session of a connection has the socket of the first', async () => {
    const control = '/tmp/control-%C';
    const shared = ['-o', `ControlPath=${control}`];
    const master = spawnClient(
      'ssh',
      sshArguments(
        server,
        { ...options, args: ['-A', '-M', ...shared] },
        'echo $SSH_AUTH_SOCK; cat',
      ),
      options,
    );
    const first = await new Promise<string>((resolve) =>
      master.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString())),
    );
    const second = await ssh(
      server,
      { ...options, args: ['-A', ...shared] },
      'echo $SSH_AUTH_SOCK; ssh-add -L',
    );
    assert.equal(second.text, `${first}${key.line}\n`, second.stderr);
    master.stdin.end();
    await new Promise((resolve) => master.once('close', resolve));
    await eventually('it is removed', () => made().length === 0);
  });

  for (const [what, title] of [
    ['a worker', /^sshdesk: worker/],
    ['the daemon', /^sshdesk: monitor/],
    ['the login’s leader', /^sshdesk: leader alice/],
  ] as const) {
    test(`the socket is removed when ${what} is killed`, {
      skip: serverKind === 'sshd' ? 'sshd has neither' : false,
    }, async () => {
      await using victim = await startServer({ config: ['UsePAM yes'] });
      const client = spawnClient('ssh', sshArguments(victim, options, 'echo in; cat'), options);
      await new Promise((resolve) => client.stdout.once('data', resolve));
      assert.equal(made().length, 1);
      for (const { pid, title: name } of victim.processes()) {
        if (title.test(name)) {
          process.kill(pid, 'SIGKILL');
        }
      }
      await eventually('it is removed', () => made().length === 0);
      client.kill('SIGKILL');
    });
  }

  test('where /tmp is not safe there is none, and the session runs', {
    skip: serverKind === 'sshd' ? 'sshd does not look' : false,
  }, async () => {
    chmodSync('/tmp', 0o777);
    try {
      const { status, text } = await ssh(server, options, 'echo "<$SSH_AUTH_SOCK>"');
      assert.deepEqual([status, text], [0, '<>\n']);
      assert.match(server.log(), /Agent forwarding disabled: Operation not permitted/);
    } finally {
      chmodSync('/tmp', 0o1777);
    }
  });

  test('~/.ssh/environment may say otherwise', async () => {
    await using open = await startServer({ config: ['UsePAM yes', 'PermitUserEnvironment yes'] });
    const file = `${alice.home}/.ssh/environment`;
    writeFileSync(file, 'SSH_AUTH_SOCK=/own\n', { mode: 0o644 });
    const { text } = await ssh(open, options, 'echo $SSH_AUTH_SOCK');
    rmSync(file);
    assert.equal(text, '/own\n');
  });

  test('without root too', {
    skip: serverKind === 'sshd' ? 'sshd needs root' : false,
  }, async () => {
    await using own = await startServer({ ...rootless(alice), config: ['X11Forwarding yes'] });
    const { text, stderr } = await ssh(own, options, 'ssh-add -L; echo $SSH_AUTH_SOCK');
    assert.match(text, /^ssh-ed25519 .*\n\/tmp\/ssh-\w+\/agent\.\d+\n$/, stderr);
    await eventually('it is removed', () => made().length === 0);
  });

  test('nothing of it is left behind', async () => {
    const base = await server.settled();
    await ssh(server, options, 'ssh-add -l');
    assert.deepEqual(await server.leftovers(base), []);
  });
});
