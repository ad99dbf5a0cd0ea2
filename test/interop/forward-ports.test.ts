/** Forwarding of TCP ports with Debian's ssh: -L, -D, -W, -J, -R. In the lab. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { freePort, startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';
import {
  firstRoundTrip,
  roundTrip,
  type Service,
  startService,
  startTunnel,
} from '../support/tunnel.ts';

const lab = inLab(import.meta.url);

describe('ports', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let echo: Service;
  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    echo = await startService();
    server = await startServer({ config: ['UsePAM yes', 'LogLevel DEBUG1'] });
  });
  after(async () => {
    await echo?.[Symbol.asyncDispose]();
    await server?.stop();
  });

  const local = { host: '127.0.0.1' };

  test('-L carries both directions to their ends', async () => {
    const port = await freePort();
    await using _tunnel = startTunnel(server, {
      key,
      args: ['-L', `127.0.0.1:${port}:127.0.0.1:${echo.port}`],
    });
    assert.equal((await firstRoundTrip({ ...local, port }, 'hello')).toString(), 'hello');
    const data = randomBytes(3_000_000);
    assert.ok((await roundTrip({ ...local, port }, data)).equals(data));
  });

  test('-W', async () => {
    const outcome = await ssh(server, {
      key,
      args: ['-W', `localhost:${echo.port}`],
      input: 'through',
    });
    assert.deepEqual([outcome.status, outcome.text], [0, 'through']);
  });

  test('-R 0 tells the port, and each connection is a channel of its own', async () => {
    await using tunnel = startTunnel(server, {
      key,
      args: ['-o', 'LogLevel=INFO', '-R', `0:127.0.0.1:${echo.port}`],
    });
    const [, port] = await eventually(
      'a port',
      () => /Allocated port (\d+)/.exec(tunnel.stderr) ?? false,
    );
    const data = randomBytes(1_000_000);
    const to = { ...local, port: Number(port) };
    const answers = await Promise.all([
      roundTrip(to, data),
      roundTrip(to, 'a'),
      roundTrip(to, 'b'),
    ]);
    assert.ok(answers[0].equals(data));
    assert.deepEqual(answers.slice(1).map(String), ['a', 'b']);
  });
});
