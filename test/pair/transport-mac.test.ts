/** One bit changed on the road, for each cipher and MAC: the peer is told reason 5, never more. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import ssh2 from 'ssh2';
import { MacError } from '../../src/base/errors.ts';
import { cipherAlgorithms, macAlgorithms } from '../../src/ssh/wire/algorithms.ts';
import { makeHostKey } from '../support/exchange-signer.ts';
import { type Served, settingsFor, TransportServer } from '../support/transport-server.ts';

/** Forwards; when armed, changes one bit of the next chunk towards the server. */
class BitFlipper {
  readonly #server: Server;
  readonly #sockets: Socket[] = [];
  armed: ((chunk: Buffer) => number) | undefined;

  constructor(port: number) {
    this.#server = createServer({ noDelay: true }, (near) => {
      const far = connect({ port, host: '127.0.0.1', noDelay: true });
      this.#sockets.push(near, far);
      near.on('data', (chunk: Buffer) => {
        if (this.armed !== undefined) {
          const at = this.armed(chunk);
          chunk[at] = (chunk[at] as number) ^ 1;
          this.armed = undefined;
        }
        far.write(chunk);
      });
      far.on('data', (chunk: Buffer) => near.write(chunk));
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        one.on('end', () => other.end());
        one.on('error', () => other.destroy());
      }
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
    this.#server.close();
  }
}

const key = makeHostKey('ssh-ed25519');
let server: TransportServer;
let flipper: BitFlipper;
let port = 0;

before(async () => {
  server = await TransportServer.listen([key], settingsFor([key]), 0);
  flipper = new BitFlipper(server.port);
  port = await flipper.listen();
});
after(async () => {
  flipper.close();
  assert.deepEqual(server.bugs, []);
  await server.close();
});

describe('a changed bit', { timeout: 60_000 }, () => {
  const rows = cipherAlgorithms.flatMap((cipher): { cipher: string; mac: string | undefined }[] =>
    cipher.authenticates
      ? [{ cipher: cipher.name, mac: undefined }]
      : macAlgorithms.map((mac) => ({ cipher: cipher.name, mac: mac.name })),
  );
  const places: [string, (chunk: Buffer) => number][] = [
    ['in the MAC', (chunk) => chunk.length - 1],
    ['in the payload', (chunk) => 20 + (chunk.length % 2)],
  ];
  for (const { cipher, mac } of rows) {
    for (const [place, at] of places) {
      test(`${cipher} ${mac ?? ''}: ${place}`, async () => {
        const client = new ssh2.Client();
        const ready = once(client, 'ready');
        client.connect({
          host: '127.0.0.1',
          port,
          username: 'user',
          algorithms: {
            cipher: [cipher as ssh2.CipherAlgorithm],
            ...(mac === undefined ? {} : { hmac: [mac as ssh2.MacAlgorithm] }),
          },
        });
        await ready;
        const served = server.served.at(-1) as Served;
        // What the client makes of the end is its own affair.
        client.on('error', () => {});
        flipper.armed = at;
        client.exec('true', () => {});
        await served.closed;
        assert.ok(served.error instanceof MacError, String(served.error));
        client.end();
      });
    }
  }
});
