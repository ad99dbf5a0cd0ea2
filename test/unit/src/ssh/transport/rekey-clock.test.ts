import assert from 'node:assert/strict';
import { describe, mock, test } from 'node:test';
import { limits } from '../../../../../src/ssh/transport/limits.ts';
import { RekeyClock } from '../../../../../src/ssh/transport/rekey-clock.ts';

const gcm = 'aes128-gcm@openssh.com';
const chacha = 'chacha20-poly1305@openssh.com';
const noBounds = { rekeyBytes: 0, rekeyMs: 0 };

function running(bounds: ConstructorParameters<typeof RekeyClock>[0], cipher = gcm): RekeyClock {
  const clock = new RekeyClock(bounds, () => {});
  clock.restart(cipher, cipher);
  return clock;
}

describe('new keys are due', () => {
  test('behind the bytes of RekeyLimit, in either direction, and not again after a restart', () => {
    for (const count of [
      (clock: RekeyClock, bytes: number) => clock.received(bytes),
      (clock: RekeyClock, bytes: number) => clock.sentPacket(bytes),
    ]) {
      const clock = running({ rekeyBytes: 1000, rekeyMs: 0 });
      count(clock, 1000);
      assert.equal(clock.isDue, false);
      count(clock, 1);
      assert.equal(clock.isDue, true);
      clock.restart(gcm, gcm);
      assert.equal(clock.isDue, false);
    }
  });

  test('without RekeyLimit by what the cipher may encrypt (RFC 4344 §3.2), as sshd', () => {
    const short = running(noBounds, chacha);
    short.received(2 ** 30);
    assert.equal(short.isDue, false);
    short.received(1);
    assert.equal(short.isDue, true);
    const long = running(noBounds);
    long.received(2 ** 36);
    assert.equal(long.isDue, false);
    long.received(1);
    assert.equal(long.isDue, true);
  });

  test('a large RekeyLimit does not stretch what the cipher may do', () => {
    const clock = running({ rekeyBytes: 2 ** 40, rekeyMs: 0 }, chacha);
    clock.received(2 ** 30 + 1);
    assert.equal(clock.isDue, true);
  });

  test('by the count of packets, long before the sequence number comes round', () => {
    assert.ok(limits.packetsPerKey <= 2 ** 31);
    for (const count of [
      (clock: RekeyClock) => clock.receivedPacket(),
      (clock: RekeyClock) => clock.sentPacket(1),
    ]) {
      const clock = running({ ...noBounds, rekeyPackets: 3 });
      for (let i = 0; i < 3; i++) {
        count(clock);
      }
      assert.equal(clock.isDue, false);
      count(clock);
      assert.equal(clock.isDue, true);
    }
  });

  test('never before the first keys', () => {
    const clock = new RekeyClock({ rekeyBytes: 1, rekeyMs: 0 }, () => {});
    clock.received(2 ** 40);
    assert.equal(clock.isDue, false);
  });
});

describe('the timer', () => {
  test('calls after RekeyLimit, starts anew, and not after stop', () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      let calls = 0;
      const clock = new RekeyClock({ rekeyBytes: 0, rekeyMs: 1000 }, () => calls++);
      clock.startTimer();
      mock.timers.tick(999);
      clock.startTimer();
      mock.timers.tick(999);
      assert.equal(calls, 0);
      mock.timers.tick(1);
      assert.equal(calls, 1);
      clock.startTimer();
      clock.stop();
      mock.timers.tick(5000);
      assert.equal(calls, 1);
    } finally {
      mock.timers.reset();
    }
  });

  test('a time beyond what a timer can hold does not fire at once', () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      let calls = 0;
      const clock = new RekeyClock({ rekeyBytes: 0, rekeyMs: 2 ** 33 }, () => calls++);
      clock.startTimer();
      mock.timers.tick(1000);
      assert.equal(calls, 0);
      clock.stop();
    } finally {
      mock.timers.reset();
    }
  });
});
