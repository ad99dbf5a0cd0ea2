/** Calls and notices between two peers, and what a hostile one cannot do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { ProtocolError } from '../../../../../src/base/errors.ts';
import { call, type FramePort, notice } from '../../../../../src/ssh/wire/call.ts';
import { list, text, uint32 } from '../../../../../src/ssh/wire/field.ts';
import { CallFailure, LinkEnded, Peer } from '../../../../../src/ssh/wire/peer.ts';

const limit = { timeout: 20_000 };
const Add = call(1, 'add', { a: uint32, b: uint32 }, { sum: uint32 });
const Say = notice(2, 'say', { line: text });
const Echo = call(4, 'echo', { line: text }, { line: text });
const Names = call(3, 'names', {}, { names: list(text, 4) });

/** One end of a pair in memory; frames arrive in a later turn, as they do over a socket. */
class MemoryPort implements FramePort {
  onFrame: FramePort['onFrame'] = () => {};
  onEnd: FramePort['onEnd'] = () => {};
  other: MemoryPort | undefined;
  isOpen = true;

  send(frame: Buffer, descriptors: readonly number[] = []): void {
    setImmediate(() => {
      if (this.isOpen && this.other?.isOpen === true) {
        this.other.onFrame(frame, descriptors);
      }
    });
  }

  close(): void {
    if (this.isOpen) {
      this.isOpen = false;
      setImmediate(() => {
        if (this.other?.isOpen === true) {
          this.other.isOpen = false;
          this.other.onEnd();
        }
      });
    }
  }
}

function pair(options: { rejectDescriptors?: boolean } = {}) {
  const [one, other] = [new MemoryPort(), new MemoryPort()];
  [one.other, other.other] = [other, one];
  const closed: number[] = [];
  const faults: unknown[] = [];
  const closeDescriptor = (descriptor: number) => void closed.push(descriptor);
  const client = new Peer(one, { closeDescriptor });
  const server = new Peer(other, {
    closeDescriptor,
    onFault: (error) => faults.push(error),
    ...options,
  });
  const ends: (Error | undefined)[] = [];
  server.onEnd = (error) => void ends.push(error);
  return { client, server, raw: one, closed, faults, ends };
}

const bytes = (hex: string) => Buffer.from(hex, 'hex');

test('a call is answered, with descriptors both ways', limit, async () => {
  const { client, server, closed } = pair();
  const got: number[] = [];
  server.onCall(Add, async ({ a, b }, descriptors) => {
    got.push(...descriptors);
    return { values: { sum: a + b }, descriptors: [70, 71] };
  });
  const answer = await client.call(Add, { a: 2, b: 3 }, [50]);
  assert.deepEqual(answer, { values: { sum: 5 }, descriptors: [70, 71] });
  assert.deepEqual(got, [50]);
  assert.deepEqual(closed, []);
});

test('answers may come in any order', limit, async () => {
  const { client, server } = pair();
  server.onCall(Add, async ({ a, b }) => {
    await sleep(a);
    return { values: { sum: a + b } };
  });
  const order: number[] = [];
  await Promise.all(
    [30, 1].map(async (a) => {
      order.push((await client.call(Add, { a, b: 0 })).values.sum);
    }),
  );
  assert.deepEqual(order, [1, 30]);
});

test(
  'a refusal carries its code and text; a fault of the handler says nothing of it',
  limit,
  async () => {
    const { client, server, faults } = pair();
    server.onCall(Add, async ({ a }) => {
      throw a === 1 ? new CallFailure(13, 'not allowed') : new Error('secret');
    });
    const refused = await client.call(Add, { a: 1, b: 0 }).catch((error: unknown) => error);
    assert.ok(refused instanceof CallFailure);
    assert.deepEqual([refused.code, refused.text], [13, 'not allowed']);
    const broken = await client.call(Add, { a: 2, b: 0 }).catch((error: unknown) => error);
    assert.ok(broken instanceof CallFailure);
    assert.deepEqual([broken.code, broken.text], [5, 'internal error']);
    assert.equal((faults[0] as Error).message, 'secret');
  },
);

test('notices keep their order; a fault of a handler leaves the link alone', limit, async () => {
  const { client, server, faults, ends } = pair();
  const lines: string[] = [];
  server.onNotice(Say, ({ line }) => {
    lines.push(line);
    if (line === 'two') throw new Error('broken');
  });
  for (const line of ['one', 'two', 'three']) client.notify(Say, { line });
  await sleep(10);
  assert.deepEqual(lines, ['one', 'two', 'three']);
  assert.equal(faults.length, 1);
  assert.deepEqual(ends, []);
});

test('a late answer is read over and its descriptors are closed', limit, async () => {
  const { client, server, closed } = pair();
  server.onCall(Add, async () => {
    await sleep(50);
    return { values: { sum: 1 }, descriptors: [80] };
  });
  const late = await client
    .call(Add, { a: 1, b: 1 }, [], { timeoutMs: 5 })
    .catch((e: unknown) => e);
  assert.ok(late instanceof CallFailure);
  assert.equal(late.code, 110);
  const abort = new AbortController();
  const given = client.call(Add, { a: 1, b: 1 }, [], { signal: abort.signal });
  abort.abort(new Error('no longer wanted'));
  await assert.rejects(given, /no longer wanted/);
  await sleep(80);
  assert.deepEqual(closed, [80, 80]);
  assert.equal(client.hasEnded, false);
});

test('the end of the link fails what waits, and later calls', limit, async () => {
  const { client, server, closed } = pair();
  server.onCall(Add, () => new Promise(() => {}));
  const waiting = client.call(Add, { a: 1, b: 1 });
  await turn();
  server.close();
  await assert.rejects(waiting, LinkEnded);
  await assert.rejects(client.call(Add, { a: 1, b: 1 }, [90]), LinkEnded);
  client.notify(Say, { line: 'x' }, [91]);
  assert.deepEqual(closed, [90, 91]);
});

test('closing fails what waits without a call of onEnd', limit, async () => {
  const { client, server } = pair();
  server.onCall(Add, () => new Promise(() => {}));
  client.onEnd = () => assert.fail('onEnd');
  const waiting = client.call(Add, { a: 1, b: 1 });
  client.close();
  await assert.rejects(waiting, LinkEnded);
  await sleep(10);
});

const malformed: Record<string, Buffer> = {
  'an unknown notice': bytes('6300000000'),
  'an unknown call': bytes('6300000001'),
  'a call by the number of a notice': bytes('0200000001'),
  'a notice by the number of a call': bytes('0100000000'),
  'a reply that nobody waits for': bytes('81000000010000000000'),
  'a frame that is cut': bytes('010000'),
  'a call with a field cut': bytes('01000000010000'),
  'bytes behind the last field': bytes('0100000001000000010000000200'),
  'text that is not UTF-8': bytes('020000000000000002ff41'),
  'an empty frame': Buffer.alloc(0),
};
for (const [name, frame] of Object.entries(malformed)) {
  test(`${name} ends the link, and the descriptors with it are closed`, limit, async () => {
    const { server, raw, closed, ends } = pair();
    server.onCall(Add, async () => ({ values: { sum: 0 } }));
    server.onNotice(Say, () => assert.fail('delivered'));
    raw.send(frame, [7]);
    await sleep(10);
    assert.equal(ends.length, 1);
    assert.ok(ends[0] instanceof ProtocolError, String(ends[0]));
    assert.deepEqual(closed, [7]);
    raw.send(bytes('020000000000000000'), [8]);
    await sleep(10);
    assert.equal(ends.length, 1);
  });
}

test('an answer that does not parse fails the call and ends the link', limit, async () => {
  const { client, raw } = pair();
  const ends: unknown[] = [];
  client.onEnd = (error) => ends.push(error);
  const waiting = client.call(Names, {});
  await turn();
  // Five names where four are the most.
  raw.onFrame(bytes('8300000001' + '00' + '00000005' + '00000000'.repeat(5)), []);
  await assert.rejects(waiting, ProtocolError);
  assert.ok(ends[0] instanceof ProtocolError);
});

test('the same call number twice, or too many at once, end the link', limit, async () => {
  const { server, raw, ends } = pair();
  server.onCall(Add, () => new Promise(() => {}));
  raw.send(bytes('01000000010000000100000002'));
  raw.send(bytes('01000000010000000100000002'));
  await sleep(10);
  assert.equal(ends.length, 1);

  const flood = pair();
  flood.server.onCall(Add, () => new Promise(() => {}));
  for (let id = 1; id <= 4097; id++) {
    const frame = bytes('01000000000000000100000002');
    frame.writeUInt32BE(id, 1);
    flood.raw.send(frame);
  }
  await sleep(50);
  assert.equal(flood.ends.length, 1);
});

test('calls in flight are bounded, those given up included', limit, async () => {
  const { client, server } = pair();
  server.onCall(Add, () => new Promise(() => {}));
  const waiting = Array.from({ length: 4096 }, () => client.call(Add, { a: 1, b: 1 }));
  const one = await client.call(Add, { a: 1, b: 1 }).catch((error: unknown) => error);
  assert.ok(one instanceof CallFailure);
  assert.equal(one.code, 11);
  client.close();
  const results = await Promise.allSettled(waiting);
  assert.ok(results.every(({ status }) => status === 'rejected'));
});

test(
  'where descriptors are not wanted they are closed unread and the frame is served',
  limit,
  async () => {
    const { client, server, closed } = pair({ rejectDescriptors: true });
    const seen: (readonly number[])[] = [];
    server.onCall(Add, async ({ a, b }, descriptors) => {
      seen.push(descriptors);
      return { values: { sum: a + b } };
    });
    await client.call(Add, { a: 1, b: 2 }, [40, 41]);
    assert.deepEqual(seen, [[]]);
    assert.deepEqual(closed, [40, 41]);
  },
);

test(
  'an answer that its fields cannot carry is a fault of one call, not of the process',
  limit,
  async () => {
    const { client, server, faults } = pair();
    server.onCall(Add, async () => ({ values: { sum: -1 } }));
    await assert.rejects(client.call(Add, { a: 1, b: 2 }), { code: 5 });
    assert.equal(faults.length, 1);
  },
);

test('what does not fit into a frame fails the call and leaves the link alone', limit, async () => {
  const { client, server, faults, ends } = pair();
  const long = 'x'.repeat(128 * 1024);
  server.onCall(Names, async () => ({ values: { names: [long] } }));
  server.onCall(Echo, async ({ line }) => ({ values: { line } }));
  await assert.rejects(client.call(Names, {}), { code: 5 });
  assert.equal(faults.length, 1);
  await assert.rejects(client.call(Echo, { line: long }), { code: 7 });
  assert.deepEqual((await client.call(Echo, { line: 'y' })).values, { line: 'y' });
  assert.deepEqual(ends, []);
});
