/** Whether somebody is still there, asked from both ends and by TCP, with Debian's ssh. In the lab. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { type ClientOptions, ssh, spawnClient, sshArguments } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 120_000);

/** What the kernel's timer on established connections of a local port is: 02 is keepalive. */
function timers(port: number): readonly string[] {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1]?.endsWith(wanted) === true && fields[3] === '01')
    .map((fields) => fields[5]?.slice(0, 2) ?? '');
}

describe('keepalive', lab, () => {
  let key: TestKey;
  let options: ClientOptions;
  before(() => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    options = { key };
  });

  const started = async (server: TestServer, args: readonly string[], command: string) => {
    const child = spawnClient('ssh', sshArguments(server, { ...options, args }, command), options);
    await new Promise((resolve) => child.stdout.once('data', resolve));
    return child;
  };

  describe('ClientAliveInterval 1, ClientAliveCountMax 2', () => {
    let server: TestServer;
    before(async () => {
      server = await startServer({
        config: ['UsePAM yes', 'ClientAliveInterval 1', 'ClientAliveCountMax 2'],
      });
    });
    after(() => server.stop());

    test('a client that has stopped is given up; its sessions get SIGHUP', async () => {
      const child = await started(
        server,
        ['-tt'],
        'trap "echo hup >hup; exit" HUP; echo in; while :; do sleep 0.1; done',
      );
      child.kill('SIGSTOP');
      try {
        await server.logged(
          /Timeout, client not responding from user alice 127\.0\.0\.1 port \d+\n/,
          15_000,
        );
        await eventually('SIGHUP', () => existsSync('/home/alice/hup'));
        const line = /(Timeout, client.*)\n([^\n]*)/.exec(server.log());
        assert.doesNotMatch(line?.[2] ?? '', /Disconnect|Connection closed/);
      } finally {
        child.kill('SIGKILL');
      }
    });

    test('a client that is only idle stays, with a session and without', async () => {
      const idle = spawnClient('ssh', sshArguments(server, { ...options, args: ['-N'] }), options);
      const { status, text } = await ssh(server, options, 'sleep 4.5; echo there');
      assert.deepEqual([status, text], [0, 'there\n']);
      assert.deepEqual([idle.exitCode, idle.signalCode], [null, null]);
      idle.kill('SIGTERM');
      assert.equal(server.log().match(/Timeout, client/g)?.length, 1, 'the stopped one alone');
    });
  });

  test('ClientAliveCountMax 0: asked, never given up', async () => {
    await using server = await startServer({
      config: ['UsePAM yes', 'ClientAliveInterval 1', 'ClientAliveCountMax 0'],
    });
    const child = await started(server, [], 'echo in; cat');
    child.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 4500));
    child.kill('SIGCONT');
    const line = new Promise<string>((resolve) =>
      child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString())),
    );
    child.stdin.end('still\n');
    assert.equal(await line, 'still\n');
  });

  test('the client asks too (ServerAliveInterval), and gets its answers', async () => {
    await using server = await startServer({ config: ['UsePAM yes'] });
    const args = ['-o', 'ServerAliveInterval=1', '-o', 'ServerAliveCountMax=1'];
    const { status, text, stderr } = await ssh(
      server,
      { ...options, args },
      'sleep 4.5; echo there',
    );
    assert.deepEqual([status, text], [0, 'there\n'], stderr);
  });

  test('TCPKeepAlive', async () => {
    for (const [value, timer] of [
      ['yes', '02'],
      ['no', '00'],
    ] as const) {
      await using server = await startServer({ config: ['UsePAM yes', `TCPKeepAlive ${value}`] });
      const child = await started(server, ['-o', 'TCPKeepAlive=no'], 'echo in; cat');
      await eventually(`TCPKeepAlive ${value}`, () => timers(server.port).join() === timer);
      child.kill('SIGKILL');
    }
  });
});
