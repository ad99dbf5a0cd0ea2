/** What the transport makes of a signer that answers wrongly, late or not at all. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError, MonitorRefusal } from '../../src/base/errors.ts';
import { createServerTransport } from '../../src/ssh/transport/server-transport.ts';
import type { Exchange, ExchangeSigner } from '../../src/ssh/transport/transport.ts';
import { LocalSigner, makeHostKey } from '../support/exchange-signer.ts';
import { RawClient } from '../support/raw-client.ts';
import { everyAlgorithm, settingsFor, TinySession } from '../support/transport-server.ts';

const key = makeHostKey('ssh-ed25519');
let server: Server | undefined;

afterEach(() => {
  server?.close();
});

interface Setting {
  readonly client: RawClient;
  readonly reads: () => number;
  readonly closed: Promise<Error | undefined>;
  readonly bugs: unknown[];
}

async function serve(signer: ExchangeSigner): Promise<Setting> {
  const { promise, resolve } = Promise.withResolvers<Error | undefined>();
  const bugs: unknown[] = [];
  let reads = 0;
  server = createServer((socket) => {
    const transport = createServerTransport({
      stream: socket,
      settings: settingsFor([key]),
      signer,
      afterRead: () => {
        reads++;
      },
      onBug: (bug) => bugs.push(bug),
    });
    new TinySession(transport);
    transport.onClose = resolve;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = await RawClient.connect((server.address() as AddressInfo).port);
  return { client, reads: () => reads, closed: promise, bugs };
}

/** A LocalSigner whose answer is changed. */
function changing(
  change: (answer: { signature: Buffer; hash: Buffer }) => { signature: Buffer; hash: Buffer },
): ExchangeSigner {
  const inner = new LocalSigner([key], 0);
  return {
    takeCookie: () => inner.takeCookie(),
    sign: async (exchange: Exchange) => change(await inner.sign(exchange)),
  };
}

describe('the signer', { timeout: 30_000 }, () => {
  const cases: [string, ExchangeSigner, number][] = [
    ['of another hash', changing((a) => ({ ...a, hash: Buffer.alloc(32) })), 3],
    ['of an empty hash', changing((a) => ({ ...a, hash: Buffer.alloc(0) })), 3],
    [
      'of a signature of another algorithm',
      changing((a) => ({ ...a, signature: rename(a.signature) })),
      3,
    ],
    ['of half a signature', changing((a) => ({ ...a, signature: a.signature.subarray(0, 40) })), 2],
  ];
  for (const [name, signer, reason] of cases) {
    test(`an answer ${name} sends no reply and ends the connection`, async () => {
      const { client, closed } = await serve(signer);
      await client.open();
      client.send(client.kexValue());
      await assert.rejects(client.expect(31), new RegExp(`DISCONNECT ${reason} `));
      assert.ok((await closed) instanceof Error);
      client.socket.destroy();
    });
  }

  test('a refusal is passed on as it is', async () => {
    const inner = new LocalSigner([key], 0);
    const { client, closed, bugs } = await serve({
      takeCookie: () => inner.takeCookie(),
      sign: () => Promise.reject(new MonitorRefusal('an old cookie')),
    });
    await client.open();
    client.send(client.kexValue());
    assert.deepEqual(await client.farewell(), { reason: 2, text: 'Protocol error' });
    assert.ok((await closed) instanceof MonitorRefusal);
    assert.deepEqual(bugs, []);
    client.socket.destroy();
  });

  test('no cookie, no KEXINIT', async () => {
    const { client, closed, bugs } = await serve({
      takeCookie: () => {
        throw new Error('no cookie is left');
      },
      sign: () => Promise.reject(new Error('never asked')),
    });
    client.socket.write('SSH-2.0-raw_client\r\n');
    await client.readVersion();
    await client.untilClosed();
    assert.equal((await closed)?.message, 'no cookie is left');
    assert.equal(bugs.length, 1);
  });

  test('each KEXINIT carries the cookie that was taken for it', async () => {
    const inner = new LocalSigner([key], 0);
    const cookies: string[] = [];
    const { client } = await serve({
      takeCookie: () => {
        const cookie = inner.takeCookie();
        cookies.push(cookie.toString('hex'));
        return cookie;
      },
      sign: (exchange) => inner.sign(exchange),
    });
    await client.handshake();
    const seen = [client.serverKexInit.toString('hex', 1, 17)];
    await client.logIn();
    for (let i = 0; i < 3; i++) {
      await client.rekey();
      seen.push(client.serverKexInit.toString('hex', 1, 17));
    }
    assert.deepEqual(seen, cookies);
    assert.equal(new Set(cookies).size, 4);
    client.socket.destroy();
  });

  test('the hook after reads is called for each read until authentication, then never', async () => {
    const { client, reads } = await serve(new LocalSigner([key], 0));
    await client.handshake();
    await client.logIn();
    const before = reads();
    assert.ok(before >= 4, `${before} calls`);
    client.send(Buffer.from([2, 0, 0, 0, 0]));
    await delay(30);
    assert.equal(reads(), before);
    client.socket.destroy();
  });
});

describe('settings', () => {
  const stream = { on() {} } as never;
  const signer = new LocalSigner([key], 0);
  test('an algorithm that is not implemented is a ConfigError', () => {
    for (const kind of ['kex', 'serverHostKey', 'cipher', 'mac', 'compress'] as const) {
      const algorithms = { ...everyAlgorithm, [kind]: ['zlib'] };
      const settings = settingsFor([key], { algorithms });
      assert.throws(() => createServerTransport({ stream, settings, signer }), ConfigError);
    }
  });
  test('no usable host key is a ConfigError', () => {
    const algorithms = { ...everyAlgorithm, serverHostKey: ['rsa-sha2-512'] };
    const settings = settingsFor([key], { algorithms });
    assert.throws(() => createServerTransport({ stream, settings, signer }), ConfigError);
  });
});

function rename(signature: Buffer): Buffer {
  const other = Buffer.from(signature);
  other.write('ssh-ed25518', 4);
  return other;
}
