/**
 * A client's answers to agent and X11 channels that we asked it to open, and what it sends on them:
 * each asking is answered exactly once, whatever comes.
 */
import assert from 'node:assert/strict';
import { ProtocolError } from '../../../src/base/errors.ts';
import { ConnectionPeer } from '../../support/connection-peer.ts';
import { no, payload, str, u32, yes } from '../../support/raw-ssh.ts';
import { type FuzzTarget, joinMessages, settled, splitMessages } from '../target.ts';

const none = Buffer.alloc(0);
const confirm = (recipient: number, sender: number, window = 1 << 20, packet = 1 << 15): Buffer =>
  payload(91, u32(recipient), u32(sender), u32(window), u32(packet));
const refuse = (recipient: number, reason = 1): Buffer =>
  payload(92, u32(recipient), u32(reason), str('no'), str(''));
const data = (recipient: number, text: string): Buffer => payload(94, u32(recipient), str(text));

export const askedChannels: FuzzTarget = {
  name: 'asked-channels',
  isStream: false,
  perSecond: 250,
  seeds: () => [
    joinMessages([
      confirm(0, 5),
      data(0, 'SSH_AGENT'),
      confirm(1, 6),
      payload(96, u32(0)),
      payload(97, u32(0)),
    ]),
    joinMessages([
      refuse(0),
      confirm(1, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff),
      payload(93, u32(1), u32(1)),
    ]),
    joinMessages([
      confirm(0, 5, 0, 1),
      payload(93, u32(0), u32(0xffff_fff0)),
      refuse(1, 0xffff_ffff),
    ]),
    joinMessages([
      confirm(1, 5),
      payload(98, u32(1), str('eow@openssh.com'), no),
      payload(95, u32(1), u32(1), str('x')),
    ]),
    joinMessages([
      confirm(0, 0, 1, 0),
      confirm(0, 0),
      refuse(0),
      payload(98, u32(0), str('keepalive@openssh.com'), yes),
    ]),
  ],
  async run([input = Buffer.alloc(0)]) {
    const peer = new ConnectionPeer();
    const told = [0, 0];
    for (const [index, type] of ['x11', 'auth-agent@openssh.com'].entries()) {
      void peer.connection.openChannel(type, none).then((outcome) => {
        told[index] = (told[index] as number) + 1;
        if ('opened' in outcome) {
          outcome.opened.receive({ write: () => true, end: () => outcome.opened.close() });
          outcome.opened.out.write(Buffer.alloc(40_000));
        }
      });
    }
    for (const message of splitMessages(input)) {
      if ((message[0] ?? 0) >= 80) {
        peer.transport.deliver(message);
      }
      await settled(1);
    }
    const { error } = peer.transport;
    assert.ok(error === undefined || error instanceof ProtocolError, error?.stack);
    peer.transport.close();
    await settled(1);
    assert.deepEqual(told, [1, 1]);
  },
};
