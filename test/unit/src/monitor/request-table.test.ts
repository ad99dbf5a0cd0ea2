import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MonitorRefusal } from '../../../../src/base/errors.ts';
import type { Connection } from '../../../../src/monitor/connection.ts';
import { objection, row, serveRequests } from '../../../../src/monitor/request-table.ts';
import { call } from '../../../../src/ssh/wire/call.ts';
import type { FramePort } from '../../../../src/ssh/wire/call.ts';
import { bool, uint32 } from '../../../../src/ssh/wire/field.ts';
import { Peer } from '../../../../src/ssh/wire/peer.ts';
import { testConnection } from '../../../support/monitor-connection.ts';

const Ask = call(1, 'ask', { connection: uint32 }, { yes: bool });
const Other = call(2, 'other', { connection: uint32 }, { yes: bool });

/** Two ports that deliver to each other in a later turn, as a socket would. */
function ports(): [FramePort, FramePort] {
  const make = (): FramePort => ({
    send: () => {},
    onFrame: () => {},
    onEnd: () => {},
    close: () => {},
  });
  const ends: [FramePort, FramePort] = [make(), make()];
  ends[0].send = (frame) => void setImmediate(() => ends[1].onFrame(frame, []));
  ends[1].send = (frame) => void setImmediate(() => ends[0].onFrame(frame, []));
  return ends;
}

interface Setting {
  readonly once?: boolean;
  readonly serial?: boolean;
  readonly decides?: boolean;
  readonly handle?: () => Promise<void>;
}

function setUp(setting: Setting) {
  const { connection } = testConnection();
  const [workerEnd, monitorEnd] = ports();
  const closeDescriptor = (): void => {};
  const worker = new Peer(workerEnd, { closeDescriptor });
  const monitor = new Peer(monitorEnd, { closeDescriptor });
  const refused: string[] = [];
  const { once = false, serial = false, decides = false, handle = async () => {} } = setting;
  const rowOf = (schema: typeof Ask) =>
    row({
      schema,
      phase: ['preauth'],
      once,
      serial,
      decides,
      handle: async () => {
        await handle();
        return { values: { yes: true } };
      },
    });
  serveRequests(monitor, [rowOf(Ask), rowOf(Other)], {
    connection: (number) => (number === 1 ? connection : undefined),
    stranger: (number, name) => void refused.push(`${name} for ${number}`),
    refuse: (ended: Connection, refusal: MonitorRefusal) => {
      ended.closed = true;
      refused.push(refusal.detail);
    },
    broke: (ended, name) => {
      ended.closed = true;
      refused.push(`${name} broke`);
    },
  });
  const ask = async (schema = Ask, number = 1): Promise<boolean> =>
    (await worker.call(schema, { connection: number })).values.yes;
  return { connection, ask, refused };
}

test('a request in its phase is answered', async () => {
  const { ask, refused } = setUp({});
  assert.equal(await ask(), true);
  assert.deepEqual(refused, []);
});

test('a request of another phase ends the connection, and so does everything after it', async () => {
  const { ask, connection, refused } = setUp({});
  connection.phase = 'postauth';
  await assert.rejects(ask());
  assert.deepEqual(refused, ['ask in phase postauth']);
  await assert.rejects(ask());
  assert.equal(refused.at(-1), 'ask on a connection that is over');
});

test('a row that is for once ends the connection the second time', async () => {
  const { ask, refused } = setUp({ once: true });
  assert.equal(await ask(), true);
  await assert.rejects(ask());
  assert.deepEqual(refused, ['ask a second time']);
});

test('a connection of another worker is nobody, and nothing of it is ended', async () => {
  const { ask, refused } = setUp({});
  await assert.rejects(ask(Ask, 2));
  assert.deepEqual(refused, ['ask for 2'], 'but it is audited');
  assert.equal(await ask(), true);
});

test('two requests that decide never run side by side, whatever their names', async () => {
  const gate = Promise.withResolvers<void>();
  const { ask, refused } = setUp({ serial: true, decides: true, handle: () => gate.promise });
  const first = ask(Ask);
  await assert.rejects(ask(Other));
  assert.deepEqual(refused, ['other while authentication is being answered']);
  gate.resolve();
  assert.equal(await first, true);
});

test('a fresh connection objects to nothing that its phase allows', () => {
  const { connection } = testConnection();
  const free = row({
    schema: Ask,
    phase: ['preauth'],
    once: true,
    serial: false,
    decides: false,
    handle: () => ({ values: { yes: true } }),
  });
  assert.equal(objection(free, connection), undefined);
});

test('a handler that breaks ends its connection', async () => {
  const { ask, refused } = setUp({ handle: () => Promise.reject(new TypeError('a bug')) });
  await assert.rejects(ask());
  assert.deepEqual(refused, ['ask broke']);
});

test('one connection has a bounded number of requests in flight, and may ask again after them', async () => {
  const gate = Promise.withResolvers<void>();
  const { ask, refused } = setUp({ handle: () => gate.promise });
  const asked = Array.from({ length: 300 }, () => ask().catch((error) => (error as Error).message));
  await new Promise((resolve) => setTimeout(resolve, 50));
  gate.resolve();
  const answers = await Promise.all(asked);
  assert.equal(answers.filter((answer) => answer === true).length, 256);
  assert.equal(answers.filter((answer) => answer === 'too many requests at once').length, 44);
  assert.equal(await ask(), true);
  assert.deepEqual(refused, []);
});
