/** What is not offered is refused as RFC 4254 §5.1 and §7 say, and the connection lives. In the lab. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import ssh2, { type Client, type ClientChannel } from 'ssh2';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);

describe('forwarding that is not allowed', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let client: Client;
  let reached = 0;
  const target = createServer((socket) => {
    reached++;
    socket.destroy();
  });
  let targetPort = 0;
  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
    targetPort = (target.address() as { port: number }).port;
    server = await startServer({ config: ['UsePAM yes', 'AllowTcpForwarding no'] });
    client = new ssh2.Client();
    await new Promise<void>((resolve, reject) => {
      client.once('ready', resolve).once('error', reject);
      client.connect({
        host: '127.0.0.1',
        port: server.port,
        username: 'alice',
        privateKey: readFileSync(key.file),
        // The server need not be called OpenSSH to be asked for OpenSSH's channels.
        strictVendor: false,
      });
    });
  });
  after(async () => {
    client?.end();
    target.close();
    await server?.stop();
  });

  test('direct-tcpip: CHANNEL_OPEN_FAILURE 1, nothing is connected', async () => {
    const error = await new Promise<Error & { reason?: number }>((resolve, reject) => {
      client.forwardOut('127.0.0.1', 1, '127.0.0.1', targetPort, (failure?: Error) =>
        failure ? resolve(failure) : reject(new Error('was opened')),
      );
    });
    assert.equal(error.reason, 1);
    assert.equal(reached, 0);
  });

  test('tcpip-forward: REQUEST_FAILURE', async () => {
    await assert.rejects(
      new Promise<void>((resolve, reject) => {
        client.forwardIn('127.0.0.1', 0, (error?: Error) => (error ? reject(error) : resolve()));
      }),
      /Unable to bind/,
    );
  });

  test('direct-streamlocal to nowhere: CHANNEL_OPEN_FAILURE', async () => {
    const error = await new Promise<Error & { reason?: number }>((resolve, reject) => {
      const open = (
        client as unknown as {
          openssh_forwardOutStreamLocal(path: string, done: (e?: Error) => void): void;
        }
      ).openssh_forwardOutStreamLocal.bind(client);
      open('/tmp/nowhere', (failure) =>
        failure ? resolve(failure) : reject(new Error('was opened')),
      );
    });
    assert.equal(error.reason, 2);
  });

  test('after all of that a command runs on the same connection', async () => {
    const channel = await new Promise<ClientChannel>((resolve, reject) => {
      client.exec('echo alive', (error, opened) => (error ? reject(error) : resolve(opened)));
    });
    const text = await new Promise<string>((resolve) => {
      channel.once('data', (chunk: Buffer) => resolve(chunk.toString()));
    });
    assert.equal(text, 'alive\n');
  });

  test('ssh -R with ExitOnForwardFailure ends, without it goes on', async () => {
    const args = ['-R', `0:127.0.0.1:${targetPort}`];
    const strict = await ssh(
      server,
      { key, args: [...args, '-o', 'ExitOnForwardFailure=yes'] },
      'echo ran',
    );
    assert.deepEqual([strict.status, strict.text], [255, '']);
    const lax = await ssh(server, { key, args }, 'echo ran');
    assert.deepEqual([lax.status, lax.text], [0, 'ran\n']);
  });

  test('ssh -W is refused with the reason', async () => {
    const outcome = await ssh(server, { key, args: ['-W', `127.0.0.1:${targetPort}`] });
    assert.equal(outcome.status, 255);
    assert.match(
      outcome.stderr,
      /channel 0: open failed: administratively prohibited|stdio forwarding failed/,
    );
    assert.equal(reached, 0);
  });
});
