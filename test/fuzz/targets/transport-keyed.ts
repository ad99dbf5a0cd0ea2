/**
 * The transport behind the first NEWKEYS. The first byte of an input chooses cipher and MAC, the
 * second what is done with the messages that follow: sealed one by one, sealed with the length that
 * they name themselves, or not sealed at all.
 */
import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { DisconnectError } from '../../../src/base/errors.ts';
import { createServerTransport } from '../../../src/ssh/transport/server-transport.ts';
import { cipherAlgorithms, macAlgorithms } from '../../../src/ssh/wire/algorithms.ts';
import { LocalSigner, makeHostKey } from '../../support/exchange-signer.ts';
import { RawClient, type RawOptions, sshString, uint32 } from '../../support/raw-client.ts';
import { settingsFor, TinySession } from '../../support/transport-server.ts';
import { type FuzzTarget, joinMessages, settled, splitMessages, within } from '../target.ts';

const hostKey = makeHostKey('ssh-ed25519');
const rows: readonly RawOptions[] = cipherAlgorithms.flatMap((cipher) =>
  cipher.authenticates
    ? [{ cipher: cipher.name }]
    : macAlgorithms.map((mac) => ({ cipher: cipher.name, mac: mac.name })),
);
const ways = { payloads: 0, packets: 1, raw: 2, logsIn: 4 } as const;

const message = (number: number, ...parts: Buffer[]) =>
  Buffer.concat([Buffer.from([number]), ...parts]);
const login = [
  message(5, sshString('ssh-userauth')),
  message(50, sshString('x'), sshString('ssh-connection'), sshString('none')),
];
const rekey = new RawClient(duplexPair()[0] as never).makeKexInit();
const messages = [
  message(2, sshString('ignored')),
  message(4, Buffer.of(1), sshString('debug'), sshString('')),
  message(192, sshString('ping')),
  message(3, uint32(7)),
  message(7, uint32(1), sshString('ext'), sshString('value')),
  message(90, sshString('session'), uint32(0), uint32(1 << 20), uint32(32_768)),
  message(98, uint32(0), sshString('exec'), Buffer.of(1), sshString('sink')),
  message(94, uint32(0), sshString('data')),
  message(93, uint32(0), uint32(1000)),
  message(80, sshString('keepalive@openssh.com'), Buffer.of(1)),
  message(150),
  rekey,
  message(30, sshString(Buffer.alloc(32, 9))),
  message(21),
  message(1, uint32(11), sshString('bye'), sshString('')),
];
const packet = Buffer.concat([
  uint32(12),
  Buffer.of(4),
  message(2, sshString('')),
  Buffer.alloc(6),
]);

export const transportKeyed: FuzzTarget = {
  name: 'transport-keyed',
  isStream: false,
  perSecond: 250,
  seeds: () => [
    ...rows.map((_row, index) =>
      Buffer.concat([Buffer.of(index, ways.payloads), joinMessages([...login, ...messages])]),
    ),
    ...rows.map((_row, index) =>
      Buffer.concat([Buffer.of(index, ways.packets), joinMessages([packet, packet])]),
    ),
    Buffer.concat([Buffer.of(0, ways.raw), joinMessages([Buffer.alloc(64, 7)])]),
    Buffer.concat([Buffer.of(1, ways.logsIn), joinMessages(messages)]),
  ],
  async run([input = Buffer.alloc(0)]) {
    const [near, far] = duplexPair();
    near.on('error', () => undefined);
    const bugs: unknown[] = [];
    const transport = createServerTransport({
      stream: far,
      settings: settingsFor([hostKey]),
      signer: new LocalSigner([hostKey], 0),
      onBug: (error) => void bugs.push(error),
    });
    new TinySession(transport);
    const ended = new Promise<Error | undefined>((resolve) => {
      transport.onClose = (error) => resolve(error);
    });
    const way = input[1] ?? 0;
    const client = new RawClient(near as never, rows[(input[0] ?? 0) % rows.length]);
    await client.handshake();
    if ((way & ways.logsIn) !== 0) {
      await client.logIn();
    }
    for (const one of splitMessages(input.subarray(2))) {
      if (near.destroyed || !near.writable) {
        break;
      }
      const isRaw = (way & ways.raw) !== 0;
      const isPacket = (way & ways.packets) !== 0 && one.length >= 5;
      near.write(isRaw ? one : isPacket ? client.sealPlain(one) : client.seal(one));
    }
    await settled(4);
    near.end();
    await settled();
    near.destroy();
    far.destroy();
    const error = await within(ended, 4_000, 'the end of the transport');
    assert.deepEqual(bugs, []);
    assert.ok(error === undefined || error instanceof DisconnectError, error?.stack);
  },
};
