/**
 * CVE-2021-43565, CVE-2026-46597: a packet of every length, under every cipher and MAC, sealed as it
 * should be, so that its length alone is what is wrong with it. Runs in: test.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { cipherAlgorithms, macAlgorithms } from '../../src/ssh/wire/algorithms.ts';
import { makeHostKey } from '../support/exchange-signer.ts';
import { RawClient, type RawOptions, sshString, uint32 } from '../support/raw-client.ts';
import { settingsFor, TransportServer } from '../support/transport-server.ts';

const key = makeHostKey('ssh-ed25519');
const padding = 4;
/** As sshd's; what we announce is 32 KiB of data. */
const largestBytes = 256 * 1024;
/** More than this is announced only. */
const filledBytes = largestBytes + 64;
/** RECORD_LENGTHS_STEP=N widens the matrix to each Nth length up to 64 Ki. */
const step = Number(process.env.RECORD_LENGTHS_STEP ?? 0);

const rows: readonly RawOptions[] = cipherAlgorithms.flatMap((cipher) =>
  cipher.authenticates
    ? [{ cipher: cipher.name }]
    : macAlgorithms.map((mac) => ({ cipher: cipher.name, mac: mac.name })),
);

function lengths(): readonly number[] {
  const around = (at: number) => [at - 1, at, at + 1];
  return [
    ...Array.from({ length: step > 0 ? 65_537 / step : 0 }, (_, index) => index * step),
    ...Array.from({ length: 34 }, (_, length) => length),
    ...[40, 44, 48, 60, 64, 68, 255, 256, 264, 268].flatMap(around),
    ...[4096 - 4, 4096, 32_768, 32_780, 35_000, 65_536, largestBytes - 4, largestBytes].flatMap(
      around,
    ),
    ...[
      largestBytes + 12,
      largestBytes + 16,
      0xffffff,
      0x7fffffff,
      0x80000000,
      0xfffffffc,
      0xffffffff,
    ],
  ];
}

/** Length, padding and a PING that fills it, as far as it can be filled. */
function packetOf(length: number): Buffer {
  const bodyBytes = Math.min(length, filledBytes);
  const payloadBytes = Math.max(0, bodyBytes - 1 - padding);
  const ping =
    payloadBytes < 5
      ? Buffer.alloc(payloadBytes, 2)
      : Buffer.concat([Buffer.from([192]), sshString(Buffer.alloc(payloadBytes - 5))]);
  const body = Buffer.concat([Buffer.from([padding]), ping, Buffer.alloc(padding)]);
  return Buffer.concat([uint32(length), body.subarray(0, bodyBytes)]);
}

describe('CVE-2021-43565, CVE-2026-46597: packet lengths', { timeout: 3_600_000 }, () => {
  let server: TransportServer;
  before(async () => {
    server = await TransportServer.listen([key], settingsFor([key]), 0);
  });
  after(async () => await server.close());

  for (const row of rows) {
    const name = `${row.cipher} ${row.mac ?? ''}`.trim();
    const blockBytes = row.cipher?.startsWith('chacha20') ? 8 : 16;
    const isApart = row.mac === undefined || row.mac.includes('-etm@');
    const isAligned = (length: number) => (length + (isApart ? 0 : 4)) % blockBytes === 0;

    test(`${name}: what is sealed as it should be is taken (the client is right)`, async () => {
      const client = await RawClient.connect(server.port, row);
      await client.handshake();
      await client.logIn();
      for (const bytes of [0, 1, 15, 16, 1000, 32_000, 200_000]) {
        const ping = Buffer.concat([Buffer.from([192]), sshString(Buffer.alloc(bytes, 7))]);
        client.send(ping);
        assert.deepEqual((await client.expect(193)).subarray(1), ping.subarray(1));
      }
      await client.rekey();
      client.send(Buffer.concat([Buffer.from([192]), sshString('again')]));
      await client.expect(193);
      client.socket.destroy();
    });

    test(`${name}: every other length ends the connection, reason 2 or 5, and nothing breaks`, async () => {
      for (const length of lengths()) {
        const client = await RawClient.connect(server.port, row);
        await client.handshake();
        await client.logIn();
        const sealed = client.sealPlain(packetOf(length));
        // What a length that is too large waits for.
        client.socket.write(
          length > filledBytes ? Buffer.concat([sealed, Buffer.alloc(70_000)]) : sealed,
        );
        const isGood = isAligned(length) && length >= 12 && length <= largestBytes;
        if (isGood) {
          const answer = await client.expect(193);
          assert.equal(answer.length, length - 1 - padding, `length ${length}`);
        } else {
          // A packet that is one block short may wait for more: there is none.
          client.socket.end();
          const said = await client.farewell();
          assert.ok(
            said === undefined || said.reason === 2 || said.reason === 5,
            `length ${length}`,
          );
        }
        client.socket.destroy();
      }
      assert.deepEqual(server.bugs, []);
    });
  }
});
