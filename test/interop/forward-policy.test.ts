/** Who may forward what: configuration and key options, with Debian's ssh. In the lab. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { freePort, startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';
import {
  firstRoundTrip,
  listeners,
  loopbacks,
  type Service,
  startService,
  startTunnel,
} from '../support/tunnel.ts';

const lab = inLab(import.meta.url);

describe('what forwarding is allowed', lab, () => {
  const keys: Record<string, TestKey> = {};
  let echo: Service;
  let other: Service;
  before(async () => {
    echo = await startService();
    other = await startService();
    const options: Record<string, string> = {
      plain: '',
      none: 'no-port-forwarding',
      restricted: 'restrict',
      restored: 'restrict,port-forwarding',
      open: `permitopen="localhost:${echo.port}",permitopen="127.0.0.1:${echo.port}"`,
      listen: 'permitlisten="20001",permitlisten="localhost:20002"',
    };
    const lines = Object.entries(options).map(([name, option]) => {
      const key = makeKey('ed25519');
      keys[name] = key;
      return `${option} ${key.line}`.trimStart();
    });
    makeUser('alice', { authorizedKeys: lines });
  });
  after(async () => {
    await echo?.[Symbol.asyncDispose]();
    await other?.[Symbol.asyncDispose]();
  });

  const start = (...config: string[]): Promise<TestServer> =>
    startServer({ config: ['UsePAM yes', 'LogLevel VERBOSE', ...config] });
  const keyOf = (name: string): TestKey => keys[name] as TestKey;
  /** `open`, or the reason that the client was given. */
  const reach = async (server: TestServer, key: string, target: string): Promise<string> => {
    const { status, stderr, text } = await ssh(server, {
      key: keyOf(key),
      args: ['-o', 'LogLevel=INFO', '-W', target],
      input: 'ok',
    });
    return status === 0 && text === 'ok'
      ? 'open'
      : (/open failed: ([^:]*)/.exec(stderr)?.[1] ?? stderr);
  };
  const listen = async (server: TestServer, key: string, spec: string): Promise<boolean> => {
    const { status } = await ssh(
      server,
      { key: keyOf(key), args: ['-R', spec, '-o', 'ExitOnForwardFailure=yes'] },
      'true',
    );
    return status === 0;
  };
  const prohibited = 'administratively prohibited';

  test('options of keys: no-port-forwarding, restrict, port-forwarding', async () => {
    await using server = await start();
    const target = `127.0.0.1:${echo.port}`;
    assert.equal(await reach(server, 'plain', target), 'open');
    assert.equal(await reach(server, 'restored', target), 'open');
    assert.equal(await listen(server, 'restored', `0:${target}`), true);
    for (const key of ['none', 'restricted']) {
      assert.equal(await reach(server, key, target), prohibited, key);
      assert.equal(await listen(server, key, `0:${target}`), false, key);
    }
    await server.logged(
      new RegExp(
        `refused local port forward: originator 127\\.0\\.0\\.1 port \\d+, target 127\\.0\\.0\\.1 port ${echo.port}`,
      ),
    );
  });

  test('PermitOpen and permitopen= both have to agree, names as they were sent', async () => {
    await using server = await start(`PermitOpen 127.0.0.1:${echo.port} localhost:${other.port}`);
    const cases: readonly (readonly [string, string, string])[] = [
      ['plain', `127.0.0.1:${echo.port}`, 'open'],
      ['plain', `localhost:${other.port}`, 'open'],
      ['plain', `localhost:${echo.port}`, prohibited],
      ['plain', `127.0.0.1:${other.port}`, prohibited],
      ['open', `127.0.0.1:${echo.port}`, 'open'],
      ['open', `localhost:${echo.port}`, prohibited],
      ['open', `localhost:${other.port}`, prohibited],
    ];
    for (const [key, target, outcome] of cases) {
      assert.equal(await reach(server, key, target), outcome, `${key} ${target}`);
    }
    await server.logged(
      new RegExp(
        `Received request from 127\\.0\\.0\\.1 port \\d+ to connect to host localhost port ${echo.port}, but the request was denied\\.`,
      ),
    );
  });

  test('PermitOpen none, and AllowTcpForwarding local or remote', async () => {
    const target = `127.0.0.1:${echo.port}`;
    for (const [config, opens, listens] of [
      ['PermitOpen none', prohibited, true],
      ['AllowTcpForwarding local', 'open', false],
      ['AllowTcpForwarding remote', prohibited, true],
      ['PermitListen none', 'open', false],
      ['DisableForwarding yes', prohibited, false],
      ['AllowTcpForwarding all', 'open', true],
    ] as const) {
      await using server = await start(config);
      assert.equal(await reach(server, 'plain', target), opens, config);
      assert.equal(await listen(server, 'plain', `0:${target}`), listens, config);
    }
  });

  test('PermitListen and permitlisten= both have to agree', async () => {
    await using server = await start('PermitListen 20001 localhost:20003 loc*:20002');
    for (const [key, spec, outcome] of [
      ['plain', 'localhost:20001', true],
      ['plain', 'LOCALHOST:20003', true],
      ['plain', '127.0.0.1:20003', false],
      ['plain', 'localhost:20002', true],
      ['plain', 'localhost:20004', false],
      ['plain', 'localhost:0', false],
      ['listen', 'localhost:20001', true],
      ['listen', 'localhost:20002', true],
      ['listen', 'localhost:20003', false],
    ] as const) {
      assert.equal(
        await listen(server, key, `${spec}:127.0.0.1:${echo.port}`),
        outcome,
        `${key} ${spec}`,
      );
    }
    await server.logged(
      /Received request from 127\.0\.0\.1 port \d+ to remote forward to host localhost port 20004, but the request was denied\./,
    );
  });

  test('GatewayPorts yes and clientspecified', async () => {
    const wildcards = new Set(['00000000', '00000000000000000000000000000000']);
    const everywhere = (address: string) => wildcards.has(address);
    const onLoopback = (address: string) => loopbacks.has(address);
    const cases = {
      yes: [
        ['localhost', everywhere],
        ['127.0.0.1', everywhere],
      ],
      clientspecified: [
        ['*', everywhere],
        ['localhost', onLoopback],
        ['127.0.0.1', onLoopback],
        ['[::1]', onLoopback],
        ['0.0.0.0', (one: string) => one === '00000000'],
      ],
    } as const;
    for (const [config, list] of Object.entries(cases)) {
      await using server = await start(`GatewayPorts ${config}`);
      for (const [address, isRight] of list) {
        const port = await freePort();
        await using _tunnel = startTunnel(server, {
          key: keyOf('plain'),
          args: ['-R', `${address}:${port}:127.0.0.1:${echo.port}`],
        });
        const host = address === '[::1]' ? '::1' : '127.0.0.1';
        assert.equal((await firstRoundTrip({ host, port }, 'x')).toString(), 'x', address);
        const found = listeners(port);
        const where = `${config} ${address}: ${found.join(' ')}`;
        assert.ok(found.length > 0 && found.every(isRight), where);
      }
    }
  });
});
