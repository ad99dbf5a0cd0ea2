/**
 * Incidents of clients: `sshdesk connect` against servers that cannot prove who they are, and names
 * that would be commands. Runs in: test.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createServerTransport } from '../../../src/ssh/transport/server-transport.ts';
import type { Exchange, ExchangeSigner } from '../../../src/ssh/transport/transport.ts';
import { exchangeHash } from '../../../src/ssh/wire/exchange-hash.ts';
import { run } from '../../support/child.ts';
import { LocalSigner, makeHostKey, type TestHostKey } from '../../support/exchange-signer.ts';
import { mpint, no, payload, str } from '../../support/raw-ssh.ts';
import { settingsFor } from '../../support/transport-server.ts';

const cli = join(import.meta.dirname, '../../support/connect-cli.ts');
const genuine = makeHostKey('ssh-ed25519');
const secret = 'secret-of-alice';

/** What a server shows, and how it signs. */
interface Liar {
  readonly blob?: Buffer;
  sign?(exchange: Exchange, honest: ExchangeSigner): Promise<Buffer>;
}

class LyingSigner implements ExchangeSigner {
  readonly #honest: LocalSigner;
  readonly #liar: Liar;
  constructor(keys: readonly TestHostKey[], liar: Liar) {
    this.#honest = new LocalSigner(keys, 0);
    this.#liar = liar;
  }
  takeCookie(): Buffer {
    return this.#honest.takeCookie();
  }
  async sign(exchange: Exchange): Promise<{ signature: Buffer; hash: Buffer }> {
    if (this.#liar.sign === undefined) {
      return await this.#honest.sign(exchange);
    }
    const hash = exchangeHash(exchange.kexAlgorithm, exchange);
    return { signature: await this.#liar.sign(exchange, this.#honest), hash };
  }
}

/** Runs a server for one attempt; every payload that it got behind the keys. */
async function serve(liar: Liar, use: (port: number) => Promise<void>): Promise<readonly Buffer[]> {
  const heard: Buffer[] = [];
  const sockets: Socket[] = [];
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    const key = { ...genuine, blob: liar.blob ?? genuine.blob };
    const transport = createServerTransport({
      stream: socket,
      settings: settingsFor([key]),
      signer: new LyingSigner([key], liar),
      onBug: () => {},
    });
    transport.onPayload = (one) => {
      heard.push(Buffer.from(one));
      if (one[0] === 5) {
        transport.send(payload(6, str('ssh-userauth')));
      } else if (one[0] === 50) {
        transport.send(payload(51, str('password'), no));
      }
    };
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await use((server.address() as AddressInfo).port);
  } finally {
    for (const socket of sockets) {
      socket.destroy();
    }
    server.close();
    await once(server, 'close');
  }
  return heard;
}

const ed25519Of = (point: Buffer) => Buffer.concat([str('ssh-ed25519'), str(point)]);
const rsaOf = (e: Buffer, n: Buffer) => Buffer.concat([str('ssh-rsa'), mpint(e), mpint(n)]);
const signatureOf = (value: Buffer, name = 'ssh-ed25519') => Buffer.concat([str(name), str(value)]);
const three = Buffer.of(3);
const ones = (bytes: number) => Buffer.alloc(bytes, 0xff);

describe('CVE-2025-26465: the check of a host key', { timeout: 120_000 }, () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sshdesk-incident-'));
  });
  after(async () => await rm(folder, { recursive: true, force: true }));

  const connect = (port: number, known: string, ...more: readonly string[]) =>
    run(
      process.execPath,
      [
        ...[cli, 'connect', '-F', 'none', '--list', '--batch'],
        ...['-o', `UserKnownHostsFile=${known}`, '-o', 'GlobalKnownHostsFile=none'],
        ...more,
        `alice@127.0.0.1:${port}`,
      ],
      { env: { PATH: process.env.PATH, HOME: folder }, timeout: 30_000 },
    );
  const knownFor = async (port: number, blob = genuine.blob): Promise<string> => {
    const file = join(folder, `known-${port}`);
    await writeFile(file, `[127.0.0.1]:${port} ssh-ed25519 ${blob.toString('base64')}\n`);
    return file;
  };

  test('CVE-2025-26465: a server that proves itself is asked for a login (the test is right)', async () => {
    const heard = await serve({}, async (port) => {
      const outcome = await connect(port, await knownFor(port));
      assert.equal(outcome.code, 5, outcome.stderr);
    });
    assert.deepEqual(
      heard.map((one) => one[0]),
      [5, 50],
    );
  });

  const liars: Readonly<Record<string, Liar>> = {
    'the known key, signed by another': {
      sign: async (exchange) => {
        const other = makeHostKey('ssh-ed25519');
        const signer = new LocalSigner([{ ...other, blob: genuine.blob }], 0);
        const cookie = signer.takeCookie();
        cookie.copy(exchange.serverKexInit, 1);
        return (
          (await signer.sign(exchange).catch(() => undefined))?.signature ?? signatureOf(ones(64))
        );
      },
    },
    'the known key, a signature of zeros': { sign: async () => signatureOf(Buffer.alloc(64)) },
    'the known key, an empty signature': { sign: async () => signatureOf(Buffer.alloc(0)) },
    'the known key, a signature of 30,000 bytes': { sign: async () => signatureOf(ones(30_000)) },
    'a key of 31 bytes': { blob: ed25519Of(ones(31)), sign: async () => signatureOf(ones(64)) },
    'a key without a point': { blob: str('ssh-ed25519'), sign: async () => signatureOf(ones(64)) },
    'a key of 30,000 bytes': {
      blob: ed25519Of(ones(30_000)),
      sign: async () => signatureOf(ones(64)),
    },
    'a modulus of 131,072 bits': {
      blob: rsaOf(three, ones(16_384)),
      sign: async () => signatureOf(ones(16_384), 'rsa-sha2-512'),
    },
    'an exponent as long as its modulus': {
      blob: rsaOf(ones(2_048), ones(2_048)),
      sign: async () => signatureOf(ones(2_048), 'rsa-sha2-512'),
    },
    'a modulus of nothing': {
      blob: rsaOf(Buffer.alloc(0), Buffer.alloc(0)),
      sign: async () => signatureOf(ones(64), 'rsa-sha2-512'),
    },
  };
  for (const [name, liar] of Object.entries(liars)) {
    test(`CVE-2025-26465: ${name}: no login, whatever StrictHostKeyChecking says`, async () => {
      const attempt = (checking: string) =>
        serve(liar, async (port) => {
          const known = await knownFor(port);
          const startedMs = performance.now();
          const outcome = await connect(port, known, '-o', `StrictHostKeyChecking=${checking}`);
          assert.ok(
            outcome.code === 6 || outcome.code === 255,
            `${checking}: ${outcome.code} ${outcome.stderr}`,
          );
          assert.ok(performance.now() - startedMs < 15_000, 'it takes long');
        });
      for (const heard of await Promise.all(['yes', 'no'].map(attempt))) {
        assert.deepEqual(heard, [], 'something was said to a server that has proved nothing');
      }
    });
  }

  test('CVE-2025-26465: a known_hosts file that cannot be read is not an empty one', async () => {
    const directory = join(folder, 'directory');
    await mkdir(directory, { recursive: true });
    const large = join(folder, 'large');
    await writeFile(large, '');
    await truncate(large, 17 * 1024 * 1024);
    for (const file of [directory, large]) {
      const heard = await serve({}, async (port) => {
        const outcome = await connect(port, file, '-o', 'StrictHostKeyChecking=no');
        assert.equal(outcome.code, 6, outcome.stderr);
      });
      assert.deepEqual(heard, []);
    }
  });

  test('CVE-2025-26465: a key that changed is refused, also where only its length has', async () => {
    for (const blob of [genuine.blob, Buffer.concat([genuine.blob, Buffer.alloc(1)])]) {
      const other = makeHostKey('ssh-ed25519');
      const heard = await serve({}, async (port) => {
        const known = await knownFor(port, blob === genuine.blob ? other.blob : blob);
        const outcome = await connect(port, known, '-o', 'StrictHostKeyChecking=accept-new');
        assert.equal(outcome.code, 6, outcome.stderr);
      });
      assert.deepEqual(heard, []);
    }
  });

  for (const [name, target] of [
    ['a command', 'alice@$(touch TRACE)'],
    ['backticks', 'alice@`touch TRACE`'],
    ['an option', '-oProxyCommand=touch TRACE'],
    ['a line of its own', 'alice@host\ntouch TRACE'],
    ['an escape', 'alice@\u001b]0;x\u0007'],
    ['a NUL in percent form', 'alice@%00'],
  ] as const) {
    test(`CVE-2023-51385: ${name} for a host runs nothing`, async () => {
      const traceFile = join(folder, 'trace');
      const word = target.replaceAll('TRACE', traceFile);
      const outcome = await run(
        process.execPath,
        [cli, 'connect', '-F', 'none', '--list', '--batch', '-o', 'ConnectTimeout=3', word],
        { env: { PATH: process.env.PATH, HOME: folder }, timeout: 30_000 },
      );
      assert.notEqual(outcome.code, 0);
      assert.ok(!existsSync(traceFile));
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      assert.doesNotMatch(outcome.stderr, /[\u0000-\u0008\u000b-\u001f\u007f]/);
    });
  }
  test('CVE-2023-51385: ProxyCommand, Match exec and LocalCommand of a file run nothing', async () => {
    const traceFile = join(folder, 'trace');
    for (const text of [
      `ProxyCommand touch ${traceFile}\n`,
      `Match exec "touch ${traceFile}"\n User x\n`,
      `PermitLocalCommand yes\nLocalCommand touch ${traceFile}\n`,
      `KnownHostsCommand /bin/touch ${traceFile}\n`,
      `Host *\n HostName $(touch ${traceFile})\n`,
      `PKCS11Provider ${traceFile}\n`,
    ]) {
      const file = join(folder, 'config');
      await writeFile(file, text);
      const heard = await serve({}, async (port) => {
        const known = await knownFor(port);
        const outcome = await run(
          process.execPath,
          [
            ...[cli, 'connect', '-F', file, '--list', '--batch', '-o', 'ConnectTimeout=3'],
            ...['-o', `UserKnownHostsFile=${known}`, `alice@127.0.0.1:${port}`],
          ],
          { env: { PATH: process.env.PATH, HOME: folder, SECRET: secret }, timeout: 30_000 },
        );
        assert.notEqual(outcome.code, 0);
      });
      assert.ok(!heard.some((one) => one.includes(secret)));
      assert.ok(!existsSync(traceFile), text);
    }
  });
});
