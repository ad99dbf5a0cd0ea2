/** Messages of userauth and connection, cut at each offset and with bytes behind the end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProtocolError } from '../../src/base/errors.ts';
import * as connection from '../../src/ssh/connection/messages.ts';
import { InfoRequest, InfoResponse } from '../../src/ssh/userauth/methods/keyboard-interactive.ts';
import { PublicKeyOk } from '../../src/ssh/userauth/methods/publickey.ts';
import * as userauth from '../../src/ssh/userauth/messages.ts';
import { ConnectionPeer } from '../support/connection-peer.ts';

const data = Buffer.from('some data');
const empty = Buffer.alloc(0);
const c = connection;
const u = userauth;

/** Each row: a complete payload, its decoder, and where its open-ended part begins (or nowhere). */
const samples: readonly (readonly [string, Buffer, (payload: Buffer) => unknown, boolean])[] = [
  [
    'GLOBAL_REQUEST',
    c.GlobalRequest.encode({ name: 'tcpip-forward', wantReply: true, data: empty }),
    c.GlobalRequest.decode,
    true,
  ],
  ['REQUEST_FAILURE', c.RequestFailure.encode({}), c.RequestFailure.decode, false],
  [
    'CHANNEL_OPEN',
    c.ChannelOpen.encode({
      type: 'session',
      sender: 1,
      windowBytes: 2,
      maxPacketBytes: 3,
      data: empty,
    }),
    c.ChannelOpen.decode,
    true,
  ],
  [
    'CHANNEL_OPEN_CONFIRMATION',
    c.ChannelOpenConfirmation.encode({
      recipient: 1,
      sender: 1,
      windowBytes: 2,
      maxPacketBytes: 3,
      data: empty,
    }),
    c.ChannelOpenConfirmation.decode,
    true,
  ],
  [
    'CHANNEL_OPEN_FAILURE',
    c.ChannelOpenFailure.encode({ recipient: 1, reason: 2, description: 'why', language: empty }),
    c.ChannelOpenFailure.decode,
    false,
  ],
  [
    'CHANNEL_WINDOW_ADJUST',
    c.ChannelWindowAdjust.encode({ recipient: 0, bytes: 5 }),
    c.ChannelWindowAdjust.decode,
    false,
  ],
  ['CHANNEL_DATA', c.ChannelData.encode({ recipient: 0, data }), c.ChannelData.decode, false],
  [
    'CHANNEL_EXTENDED_DATA',
    c.ChannelExtendedData.encode({ recipient: 0, type: 1, data }),
    c.ChannelExtendedData.decode,
    false,
  ],
  ['CHANNEL_EOF', c.ChannelEof.encode({ recipient: 0 }), c.ChannelEof.decode, false],
  ['CHANNEL_CLOSE', c.ChannelClose.encode({ recipient: 0 }), c.ChannelClose.decode, false],
  [
    'CHANNEL_REQUEST',
    c.ChannelRequest.encode({ recipient: 0, name: 'exec', wantReply: true, data: empty }),
    c.ChannelRequest.decode,
    true,
  ],
  ['CHANNEL_SUCCESS', c.ChannelSuccess.encode({ recipient: 0 }), c.ChannelSuccess.decode, false],
  [
    'SERVICE_REQUEST',
    u.ServiceRequest.encode({ service: 'ssh-userauth' }),
    u.ServiceRequest.decode,
    false,
  ],
  [
    'USERAUTH_REQUEST',
    u.UserauthRequest.encode({
      claimedUser: data,
      service: 'ssh-connection',
      method: 'none',
      data: empty,
    }),
    u.UserauthRequest.decode,
    true,
  ],
  [
    'USERAUTH_FAILURE',
    u.UserauthFailure.encode({ canContinue: ['publickey', 'password'], partialSuccess: true }),
    u.UserauthFailure.decode,
    false,
  ],
  [
    'USERAUTH_BANNER',
    u.UserauthBanner.encode({ text: data, language: empty }),
    u.UserauthBanner.decode,
    false,
  ],
  [
    'USERAUTH_PK_OK',
    PublicKeyOk.encode({ algorithm: 'ssh-ed25519', blob: data }),
    PublicKeyOk.decode,
    false,
  ],
  [
    'USERAUTH_INFO_REQUEST',
    InfoRequest.encode({
      name: data,
      instruction: data,
      language: empty,
      prompts: [{ text: data, echo: true }],
    }),
    InfoRequest.decode,
    false,
  ],
  [
    'USERAUTH_INFO_RESPONSE',
    InfoResponse.encode({ answers: [data, empty] }),
    InfoResponse.decode,
    false,
  ],
];

for (const [name, payload, decode, isOpenEnded] of samples) {
  test(`${name}: whole, cut at each offset, and with a byte too many`, () => {
    decode(payload);
    for (let length = 0; length < payload.length; length++) {
      assert.throws(() => decode(payload.subarray(0, length)), ProtocolError, `cut at ${length}`);
    }
    if (!isOpenEnded) {
      assert.throws(() => decode(Buffer.concat([payload, Buffer.of(0)])), ProtocolError);
    }
  });

  test(`${name}: no length field makes it read or reserve what is not there`, () => {
    for (let at = 1; at + 4 <= payload.length; at++) {
      for (const length of [0xffff_ffff, 0x7fff_ffff, 0x10000, 0]) {
        const forged = Buffer.from(payload);
        forged.writeUInt32BE(length, at);
        try {
          decode(forged);
        } catch (error) {
          assert.ok(error instanceof ProtocolError, `at ${at}: ${error as Error}`);
        }
      }
    }
  });
}

test('a connection meets 60,000 mutated messages with protocol errors and nothing else', () => {
  let state = 12345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  const connectionSamples = samples.filter(([, payload]) => (payload[0] as number) >= 80);
  let peer = new ConnectionPeer();
  let connections = 0;
  for (let turn = 0; turn < 60_000; turn++) {
    if (peer.transport.isClosed || turn % 1000 === 0) {
      peer = new ConnectionPeer();
      peer.opened();
      peer.channels[0]?.stream.resume();
      connections++;
    }
    const sample = connectionSamples[random(connectionSamples.length)]?.[1] as Buffer;
    const mutated = Buffer.from(sample.subarray(0, sample.length - random(2) * random(4)));
    for (let count = random(3); count > 0 && mutated.length > 1; count--) {
      mutated[1 + random(mutated.length - 1)] = random(3) === 0 ? 0xff : random(256);
    }
    peer.transport.deliver(mutated);
    const { error } = peer.transport;
    assert.ok(error === undefined || error instanceof ProtocolError, error?.stack);
    peer.transport.take();
  }
  assert.ok(connections > 300, `${connections} connections`);
});
