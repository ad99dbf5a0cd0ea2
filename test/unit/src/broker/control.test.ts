import assert from 'node:assert/strict';
import { createServer, type Server, type Socket } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createConnection } from 'node:net';
import type { Broker } from '../../../../src/broker/broker.ts';
import { ControlServer, controlLimits } from '../../../../src/broker/control.ts';

const view = {
  id: 'A'.repeat(32),
  name: 'default',
  owner: 'alice',
  state: 'running',
  engine: 'xvnc',
  type: 'unix-desktop',
  display: 100,
  width: 1280,
  height: 800,
  depth: 24,
  startedAtMs: 0,
  lastUsedAtMs: 1_000,
  viewers: 2,
  viewedFrom: ['192.0.2.1', '192.0.2.2'],
};

describe('control socket', { timeout: 10_000 }, () => {
  let root: string;
  let server: Server;
  let asked: string[];
  let control: ControlServer;
  let uid: number;
  let rows: number;
  let histories: number;
  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), 'control-'));
    asked = [];
    uid = 1001;
    rows = 1;
    histories = 0;
    const broker = {
      listMeasured: async (asker: unknown) => {
        asked.push(`list ${asker}`);
        return [view];
      },
      history: () => {
        histories++;
        return Array.from({ length: rows }, () => ({
          ...view,
          endedAtMs: 5_000,
          reason: 'terminated',
        }));
      },
      suspend: (asker: unknown, which: string) => {
        asked.push(`suspend ${asker} ${which}`);
        return { is: 'failed', failure: 'notFound', text: 'There is no such desktop.' };
      },
      terminate: async (asker: unknown, which: string) => {
        asked.push(`terminate ${asker} ${which}`);
        return { is: 'done', value: view };
      },
    } as unknown as Broker;
    control = new ControlServer(broker, (error) => assert.fail(String(error)), {
      ...controlLimits,
      connectionsPerUid: 2,
      idleMs: 300,
    });
    server = createServer((socket) => control.accept(socket, uid));
    await new Promise<void>((resolve) => server.listen(join(root, 's'), resolve));
  });
  afterEach(() => {
    server.close();
    rmSync(root, { recursive: true });
  });

  function open(): Socket {
    return createConnection(join(root, 's'));
  }
  /** Everything that comes until the server closes or goes silent. */
  function talk(text: string): Promise<readonly string[]> {
    return new Promise((resolve) => {
      const socket = open();
      let got = '';
      socket.on('error', () => {});
      socket.on('data', (bytes) => {
        got += bytes;
      });
      socket.on('close', () => resolve(got.split('\n').slice(0, -1)));
      socket.end(text);
    });
  }

  test('a user asks as himself, root as everybody', async () => {
    const [line] = await talk('{"action":"list"}\n');
    assert.deepEqual(JSON.parse(line ?? ''), {
      is: 'done',
      desktops: [
        {
          id: 'A'.repeat(32),
          name: 'default',
          owner: 'alice',
          state: 'running',
          engine: 'xvnc',
          display: 100,
          geometry: '1280x800',
          depth: 24,
          startedAt: '1970-01-01T00:00:00.000Z',
          lastUsedAt: '1970-01-01T00:00:01.000Z',
          viewers: 2,
          viewedFrom: ['192.0.2.1', '192.0.2.2'],
        },
      ],
    });
    uid = 0;
    await talk('{"action":"list"}\n');
    assert.deepEqual(asked, ['list 1001', 'list everybody']);
  });

  test('logins: in whose name they are asked for, and with what bounds', async () => {
    const [early] = await talk('{"action":"who"}\n');
    assert.match(early ?? '', /serves no logins/);
    const told: unknown[] = [];
    let isRecorded = true;
    control.logins = {
      who: (asker) => {
        told.push(['who', asker]);
        return [];
      },
      last: (asker, query) => {
        told.push(['last', asker, query]);
        return isRecorded ? [] : undefined;
      },
    };
    assert.deepEqual(await talk('{"action":"who"}\n{"action":"last","count":9999999}\n'), [
      '{"is":"who","logins":[]}',
      '{"is":"last","logins":[]}',
    ]);
    uid = 0;
    await talk('{"action":"last","user":"bob\\u0000","sinceMs":5,"count":3}\n');
    assert.deepEqual(told, [
      ['who', 1001],
      ['last', 1001, { user: undefined, sinceMs: 0, count: 2_000 }],
      ['last', 'everybody', { user: 'bob\0', sinceMs: 5, count: 3 }],
    ]);
    for (const wrong of [
      '"user":7',
      '"sinceMs":-1',
      '"count":1.5',
      '"count":"1"',
      '"sinceMs":1e99',
    ]) {
      const [line] = await talk(`{"action":"last",${wrong}}\n`);
      assert.match(line ?? '', /not a request/, wrong);
    }
    isRecorded = false;
    assert.match((await talk('{"action":"last"}\n'))[0] ?? '', /not recorded/);
  });

  test('whoever does not read his answers gets no more of them', async () => {
    rows = 5_000;
    const socket = open();
    socket.on('error', () => {});
    socket.write('{"action":"history"}\n'.repeat(60));
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.ok(histories >= 1 && histories < 5, `${histories} were answered`);
    socket.destroy();
  });

  test('several requests in one write are answered in order', async () => {
    const replies = await talk(
      '{"action":"terminate","which":"a"}\n{"action":"suspend","which":"$(id)"}\n{"action":"history"}\n',
    );
    assert.deepEqual(
      replies.map((reply) => JSON.parse(reply).is),
      ['done', 'failed', 'done'],
    );
    assert.deepEqual(asked, ['terminate 1001 a', 'suspend 1001 $(id)']);
  });

  for (const line of ['', 'x', '[]', 'null', '{"action":"eval"}', '{"action":"list","which":1}']) {
    test(`${JSON.stringify(line)} is no request`, async () => {
      const [reply] = await talk(`${line}\n`);
      assert.equal(JSON.parse(reply ?? '').is, 'failed');
      assert.deepEqual(asked, []);
    });
  }

  test('a line without an end, a silent peer and too many of one user are shut out', async () => {
    assert.deepEqual(await talk('x'.repeat(100_000)), []);
    const idle = [open(), open()];
    const ends = idle.map((socket) => new Promise((resolve) => socket.on('close', resolve)));
    await Promise.all(
      idle.map((socket) => new Promise((resolve) => socket.on('connect', resolve))),
    );
    assert.deepEqual(await talk('{"action":"list"}\n'), []);
    await Promise.all(ends);
    assert.equal((await talk('{"action":"list"}\n')).length, 1);
  });
});
