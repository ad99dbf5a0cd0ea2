/** What a worker that was taken over may say to the monitor: every call and notice of the link. */
import assert from 'node:assert/strict';
import { ProtocolError } from '../../../src/base/errors.ts';
import * as broker from '../../../src/broker/link.ts';
import * as link from '../../../src/monitor/link.ts';
import type { Call, FramePort, Notice } from '../../../src/ssh/wire/call.ts';
import type { AnyFields } from '../../../src/ssh/wire/field.ts';
import { CallFailure, Peer } from '../../../src/ssh/wire/peer.ts';
import { type FuzzTarget, joinMessages, settled, splitMessages } from '../target.ts';

type AnyCall = Call<AnyFields, AnyFields>;
type AnyNotice = Notice<AnyFields>;
const declared: readonly unknown[] = [...Object.values(link), ...Object.values(broker)];
const isObject = (one: unknown): one is object => typeof one === 'object' && one !== null;
const calls = declared.filter((one): one is AnyCall => isObject(one) && 'request' in one);
const notices = declared.filter((one): one is AnyNotice => isObject(one) && 'fields' in one);

class OneWayPort implements FramePort {
  onFrame: FramePort['onFrame'] = () => {};
  onEnd: FramePort['onEnd'] = () => {};
  readonly sent: Buffer[] = [];
  send(frame: Buffer): void {
    this.sent.push(Buffer.from(frame));
  }
  close(): void {}
}

function frame(number: number, id: number, zeros: number): Buffer {
  const head = Buffer.alloc(5 + zeros);
  head[0] = number;
  head.writeUInt32BE(id, 1);
  return head;
}

export const linkFrames: FuzzTarget = {
  name: 'link-frames',
  isStream: false,
  perSecond: 8_000,
  seeds: () => [
    // Empty strings and zeros are values of every field.
    joinMessages(calls.map(({ number }, index) => frame(number, index + 1, 24))),
    joinMessages(calls.map(({ number }, index) => frame(number, index + 1, 8))),
    joinMessages(notices.map(({ number }) => frame(number, 0, 12))),
    joinMessages(calls.map(({ number }) => frame(number | 0x80, 1, 12))),
  ],
  async run([input = Buffer.alloc(0)]) {
    assert.ok(calls.length > 15 && notices.length > 5);
    const port = new OneWayPort();
    const faults: unknown[] = [];
    const peer = new Peer(port, {
      closeDescriptor: () => {},
      rejectDescriptors: true,
      onFault: (error) => void faults.push(error),
    });
    let end: Error | undefined;
    peer.onEnd = (error) => {
      end = error;
    };
    for (const call of calls) {
      peer.onCall(call, async () => {
        throw new CallFailure(1, 'no');
      });
    }
    for (const notice of notices) {
      peer.onNotice(notice, () => {});
    }
    for (const one of splitMessages(input)) {
      if (end === undefined) {
        port.onFrame(one, []);
      }
    }
    await settled(1);
    assert.deepEqual(faults, []);
    assert.ok(end === undefined || end instanceof ProtocolError, end?.stack);
  },
};
