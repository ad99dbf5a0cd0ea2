/** Signals, break, env and odd requests by the ssh2 client: RFC 4254 §6.4, §6.9, RFC 4335. In the lab. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import ssh2, { type Client, type ClientChannel, type ExecOptions } from 'ssh2';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { serverKind, startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);

describe('requests in a session', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let client: Client;
  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    server = await startServer({ config: ['UsePAM yes', 'AcceptEnv LANG LC_* AB?_*'] });
    client = new ssh2.Client();
    await new Promise<void>((resolve, reject) => {
      client.once('ready', resolve).once('error', reject);
      client.connect({
        host: '127.0.0.1',
        port: server.port,
        username: 'alice',
        privateKey: readFileSync(key.file),
      });
    });
  });
  after(async () => {
    client?.end();
    await server?.stop();
  });

  const exits = new WeakMap<ClientChannel, unknown[]>();
  const exec = (command: string, options: ExecOptions = {}): Promise<ClientChannel> =>
    new Promise((resolve, reject) => {
      client.exec(command, options, (error, channel) => {
        if (error) {
          reject(error);
          return;
        }
        // It may come with the answer to the request, before anybody else listens.
        channel.on('exit', (...args: unknown[]) => void exits.set(channel, args));
        resolve(channel);
      });
    });
  const outcome = async (channel: ClientChannel) => {
    let text = '';
    channel.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    channel.stderr.resume();
    await new Promise((resolve) => channel.once('close', resolve));
    return { text, exit: exits.get(channel) ?? [] };
  };

  // sshd knows the first seven only.
  for (const name of ['TERM', 'INT', 'HUP', 'USR1', 'USR2', 'QUIT', 'KILL', 'ALRM', 'PIPE']) {
    const skip = serverKind === 'sshd' && ['ALRM', 'PIPE'].includes(name) && 'not sent by sshd';
    test(`the signal ${name} reaches the command, and comes back as exit-signal`, {
      skip,
    }, async () => {
      // Not by the shell: bash itself ignores SIGQUIT.
      const channel = await exec(`ulimit -c 0; exec perl -e '$| = 1; print "ready\\n"; sleep 20'`);
      await new Promise((resolve) => channel.once('data', resolve));
      const over = outcome(channel);
      channel.signal(name);
      const { exit } = await over;
      assert.equal(exit[0], null);
      assert.equal(exit[1], `SIG${name}`);
    });
  }

  test('a signal that a trap handles', async () => {
    const channel = await exec(
      'trap "echo caught; exit 4" USR1; echo ready; while :; do sleep 0.05; done',
    );
    await new Promise((resolve) => channel.once('data', resolve));
    const over = outcome(channel);
    channel.signal('USR1');
    assert.deepEqual(await over, { text: 'caught\n', exit: [4] });
  });

  test('only names of AcceptEnv enter the environment', async () => {
    const channel = await exec('echo "$LC_TEST|$ABC_D|$EVIL|$LD_PRELOAD|$PATH" | cut -d: -f1', {
      env: { LC_TEST: 'ä b', ABC_D: 'abcd', EVIL: 'yes', LD_PRELOAD: '/x.so', PATH: '/evil' },
    });
    assert.equal((await outcome(channel)).text, 'ä b|abcd|||/usr/local/bin\n');
  });

  test('half-close from the client: output continues', async () => {
    const channel = await exec('cat; sleep 0.2; echo tail');
    const over = outcome(channel);
    channel.end('head\n');
    assert.deepEqual(await over, { text: 'head\ntail\n', exit: [0] });
  });

  test('a window that is never opened further holds the command, and nothing grows', async () => {
    const channel = await exec('head -c 100000000 /dev/zero; echo written > /tmp/alice-wrote');
    channel.pause();
    await delay(1_500);
    const channel2 = await exec('ls /tmp/alice-wrote');
    assert.match(String((await outcome(channel2)).exit[0]), /[12]/);
    let bytes = 0;
    channel.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    channel.stderr.resume();
    channel.resume();
    await new Promise((resolve) => channel.once('close', resolve));
    assert.equal(bytes, 100_000_000);
  });

  test('the closing of a channel by the client ends its stdin and stdout', async () => {
    const channel = await exec('echo $$; cat; sleep 0.1; touch /tmp/alice-closed');
    const pid = await new Promise((resolve) => channel.once('data', resolve));
    assert.match(String(pid), /\d/);
    channel.close();
    await delay(800);
    const next = await outcome(await exec('ls /tmp/alice-closed'));
    assert.equal(next.text, '/tmp/alice-closed\n');
  });

  test('X11 and agent forwarding: refused or not, the session goes on', async () => {
    const outcome = await ssh(
      server,
      {
        key,
        args: ['-X', '-o', 'ForwardX11Trusted=yes'],
        environment: { DISPLAY: ':99', XAUTHORITY: '/dev/null' },
      },
      'echo "[$DISPLAY]"',
    );
    assert.equal(outcome.text, '[]\n');
    assert.match(outcome.stderr, /X11 forwarding request failed on channel 0|^$/);
  });

  test('agent forwarding asked for: the session goes on, without an agent as long as there is none', {
    skip: serverKind === 'sshd' ? 'sshd forwards agents' : false,
  }, async () => {
    const outcome = await ssh(server, { key, args: ['-A'] }, 'echo "[$SSH_AUTH_SOCK]"');
    assert.equal(outcome.text, '[]\n');
  });
});
