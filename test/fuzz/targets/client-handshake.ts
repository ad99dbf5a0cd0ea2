/**
 * Our client in front of NEWKEYS, against a server that says anything. Whatever it says, it has not
 * signed this exchange: no login may begin.
 */
import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { ClientFailure } from '../../../src/ssh/client/failure.ts';
import { wholeOffer } from '../../../src/ssh/client/algorithm-options.ts';
import { openSession } from '../../../src/ssh/client/session.ts';
import { type HostKeyType, makeHostKey } from '../../support/exchange-signer.ts';
import { RawClient, sshString } from '../../support/raw-client.ts';
import { type FuzzTarget, settled, within } from '../target.ts';

/** Identification, KEXINIT and a reply with a signature of nothing. */
function opening(type: HostKeyType, algorithm: string, value: Buffer): Buffer {
  const [near] = duplexPair();
  const server = new RawClient(near as never);
  const kexInit = server.makeKexInit({
    kex: ['curve25519-sha256', 'kex-strict-s-v00@openssh.com'],
    hostKeys: [algorithm],
  });
  const signature = Buffer.concat([sshString(algorithm), sshString(Buffer.alloc(64, 3))]);
  const reply = Buffer.concat([
    Buffer.of(31),
    sshString(makeHostKey(type).blob),
    sshString(value),
    sshString(signature),
  ]);
  const packets = [kexInit, reply, Buffer.of(21)].map((payload) => server.seal(payload));
  near.destroy();
  return Buffer.concat([Buffer.from('banner\r\nSSH-2.0-evil\r\n'), ...packets]);
}

export const clientHandshake: FuzzTarget = {
  name: 'client-handshake',
  isStream: true,
  perSecond: 250,
  seeds: () => [
    opening('ssh-ed25519', 'ssh-ed25519', Buffer.alloc(32, 9)),
    opening('ssh-rsa', 'rsa-sha2-512', Buffer.alloc(32, 9)),
    opening('ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp256', Buffer.alloc(32, 9)),
    opening('ssh-ed25519', 'ssh-ed25519', Buffer.alloc(32)),
    Buffer.from('SSH-1.5-old\r\nSSH-2.0-x\r\n'),
  ],
  async run(pieces) {
    const [near, far] = duplexPair();
    far.on('error', () => undefined).resume();
    near.on('error', () => undefined);
    let hasBegun = false;
    const outcome = openSession({
      // ssh2 uses nothing of a socket that a Duplex has not.
      socket: near as never,
      offer: wholeOffer,
      verifyHostKey: async () => true,
      planUserauth: async () => {
        hasBegun = true;
        throw new ClientFailure('connection', 'no login here');
      },
      onBanner: () => {},
      handshakeTimeoutMs: 3_000,
      keepaliveIntervalMs: 0,
      keepaliveCountMax: 3,
    }).then(
      () => undefined,
      (error: unknown) => error,
    );
    for (const piece of pieces) {
      if (!far.destroyed && far.writable) {
        far.write(piece);
        await settled(1);
      }
    }
    await settled();
    far.end();
    await settled();
    near.destroy(); // as a socket does whose other end has gone
    const error = await within(outcome, 4_000, 'the end of the client');
    far.destroy();
    near.destroy();
    assert.equal(hasBegun, false, 'a login was begun with a server that has proved nothing');
    assert.ok(error instanceof ClientFailure, (error as Error | undefined)?.stack);
  },
};
