/** The transport in front of the first NEWKEYS: identification, clear packets, key exchange. */
import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { DisconnectError } from '../../../src/base/errors.ts';
import { createServerTransport } from '../../../src/ssh/transport/server-transport.ts';
import { LocalSigner, makeHostKey } from '../../support/exchange-signer.ts';
import { RawClient } from '../../support/raw-client.ts';
import { settingsFor, TinySession } from '../../support/transport-server.ts';
import { type FuzzTarget, settled, within } from '../target.ts';

const hostKey = makeHostKey('ssh-ed25519');

/** A client's side up to its public value, for one key exchange method. */
function opening(kex: string, strict = true): Buffer {
  const [near] = duplexPair();
  const client = new RawClient(near as never, { kex, strict });
  const packets = [client.seal(client.makeKexInit()), client.seal(client.kexValue())];
  near.destroy();
  return Buffer.concat([Buffer.from('SSH-2.0-raw_client\r\n'), ...packets]);
}

export const transportClear: FuzzTarget = {
  name: 'transport-clear',
  isStream: true,
  perSecond: 600,
  seeds: () => [
    opening('curve25519-sha256'),
    opening('mlkem768x25519-sha256'),
    opening('ecdh-sha2-nistp256', false),
    opening('diffie-hellman-group14-sha256'),
    Buffer.from('SSH-2.0-x y z\nSSH-1.99-x\r\nGET / HTTP/1.1\r\n\r\n'),
  ],
  async run(pieces) {
    const [near, far] = duplexPair();
    near.on('error', () => undefined).resume();
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
    for (const piece of pieces) {
      if (!near.destroyed && near.writable) {
        near.write(piece);
        await settled(pieces.length > 20 ? 1 : 2);
      }
    }
    await settled();
    near.end();
    await settled();
    near.destroy();
    far.destroy();
    const error = await within(ended, 4_000, 'the end of the transport');
    assert.deepEqual(bugs, []);
    assert.ok(error === undefined || error instanceof DisconnectError, error?.stack);
  },
};
