/** Our client behind NEWKEYS: a server that has proved itself says anything it likes. */
import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { ClientFailure } from '../../../src/ssh/client/failure.ts';
import { wholeOffer } from '../../../src/ssh/client/algorithm-options.ts';
import { openSession } from '../../../src/ssh/client/session.ts';
import { createServerTransport } from '../../../src/ssh/transport/server-transport.ts';
import { LocalSigner, makeHostKey } from '../../support/exchange-signer.ts';
import { no, payload, str, u32, yes } from '../../support/raw-ssh.ts';
import { complete, more, ScriptedGss } from '../../support/scripted-gss.ts';
import { settingsFor } from '../../support/transport-server.ts';
import { type FuzzTarget, joinMessages, settled, splitMessages, within } from '../target.ts';

const hostKey = makeHostKey('ssh-ed25519');
const accept = payload(6, str('ssh-userauth'));
const failure = payload(51, str('publickey,password,keyboard-interactive'), no);

export const clientMessages: FuzzTarget = {
  name: 'client-messages',
  isStream: false,
  perSecond: 200,
  seeds: () => [
    joinMessages([accept, payload(53, str('banner\u001b[2J'), str('')), failure]),
    joinMessages([accept, payload(52)]),
    joinMessages([
      accept,
      payload(51, str('keyboard-interactive'), yes),
      payload(60, str('n'), str('i'), str(''), u32(1), str('Password: '), no),
      payload(60, str('n'), str('i'), str(''), u32(0)),
      payload(52),
    ]),
    joinMessages([
      accept,
      payload(51, str('gssapi-with-mic'), no),
      payload(60, str(Buffer.from('06092a864886f712010202', 'hex'))),
      payload(61, str('token')),
      payload(61, str('another')),
      payload(52),
    ]),
    joinMessages([
      accept,
      payload(51, str('gssapi-with-mic'), no),
      payload(64, u32(1), u32(2), str('why'), str('')),
      payload(65, str('token')),
      failure,
    ]),
    joinMessages([accept, failure, payload(60, str('change it'), str('')), failure]),
    joinMessages([
      payload(7, u32(1), str('server-sig-algs'), str('ssh-ed25519,rsa-sha2-512')),
      accept,
      payload(52),
      payload(80, str('hostkeys-00@openssh.com'), no, str(hostKey.blob)),
      payload(91, u32(0), u32(0), u32(1 << 20), u32(32_768)),
      payload(99, u32(0)),
      payload(94, u32(0), str('data')),
      payload(95, u32(0), u32(1), str('data')),
      payload(98, u32(0), str('exit-status'), no, u32(0)),
      payload(98, u32(0), str('exit-signal'), no, str('TERM'), no, str(''), str('')),
      payload(93, u32(0), u32(0xffffffff)),
      payload(96, u32(0)),
      payload(97, u32(0)),
      payload(90, str('auth-agent@openssh.com'), u32(1), u32(9), u32(9)),
      payload(90, str('x11'), u32(1), u32(9), u32(9), str('o'), u32(1)),
      payload(1, u32(2), str('enough'), str('')),
    ]),
  ],
  async run([input = Buffer.alloc(0)]) {
    const [near, far] = duplexPair();
    near.on('error', () => undefined);
    const transport = createServerTransport({
      stream: far,
      settings: settingsFor([hostKey]),
      signer: new LocalSigner([hostKey], 0),
      onBug: () => {},
    });
    const asked = new Promise<void>((resolve) => {
      transport.onPayload = () => resolve();
    });
    const outcome = openSession({
      socket: near as never,
      offer: wholeOffer,
      verifyHostKey: async () => true,
      planUserauth: async () => ({
        user: 'alice',
        host: 'h',
        methods: ['gssapi-with-mic', 'password', 'keyboard-interactive'],
        identities: [],
        gssapi: new ScriptedGss(more('hello'), more('again'), complete()),
        conversation: null,
        promptAttempts: 2,
      }),
      onBanner: () => {},
      handshakeTimeoutMs: 3_000,
      keepaliveIntervalMs: 0,
      keepaliveCountMax: 3,
    }).then(
      async (session) => {
        const channel = session.subsystem('display').then(
          (opened) => opened.on('error', () => undefined).resume(),
          (error: unknown) => {
            assert.ok(error instanceof ClientFailure, (error as Error).stack);
          },
        );
        await settled(4);
        await session.close();
        await channel;
        return await session.ended;
      },
      (error: unknown) => error,
    );
    await within(asked, 3_000, 'the first message of the client');
    for (const one of splitMessages(input)) {
      if (one.length > 0) {
        transport.send(one);
        await settled(1);
      }
    }
    await settled(6);
    far.end();
    await settled();
    near.destroy(); // as a socket does whose other end has gone
    far.destroy();
    const error = await within(outcome, 5_000, 'the end of the client');
    near.destroy();
    transport.destroy();
    assert.ok(error === null || error instanceof ClientFailure, (error as Error)?.stack);
  },
};
