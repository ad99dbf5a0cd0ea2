import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { liveStates } from '../../../../src/broker/states.ts';
import { type DesktopRecord, DesktopStore } from '../../../../src/broker/store.ts';

const base: DesktopRecord = {
  id: 'A'.repeat(32),
  name: 'default',
  owner: 'alice',
  uid: 1001,
  state: 'running',
  engine: 'xvnc',
  type: 'unix-desktop',
  display: 100,
  width: 1280,
  height: 800,
  depth: 24,
  directory: '/x',
  startedAtMs: 1_000,
  lastUsedAtMs: 2_000,
  endedAtMs: undefined,
  reason: '',
};
function record(number: number, more: Partial<DesktopRecord> = {}): DesktopRecord {
  const id = number.toString(16).toUpperCase().padStart(32, '0');
  return { ...base, id, name: `n${number}`, display: 100 + number, ...more };
}

describe('store of desktops', () => {
  let root: string;
  let path: string;
  let store: DesktopStore;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'store-'));
    path = join(root, 'state.db');
    store = new DesktopStore(path, { maxAgeMs: 1_000_000, maxRows: 5 });
  });
  afterEach(() => {
    store.close();
    rmSync(root, { recursive: true, force: true });
  });

  test('only its owner reads it, the files beside it too', () => {
    store.insert(base);
    for (const suffix of ['', '-wal', '-shm']) {
      assert.equal(statSync(path + suffix).mode & 0o777, 0o600, suffix);
    }
  });

  test('what was written is there after it was opened again', () => {
    const hostile = { ...base, name: "x'; DROP TABLE desktop; --" };
    store.insert(hostile);
    store.setUsed(base.id, 9_000);
    store.setState(base.id, 'detached');
    store.close();
    store = new DesktopStore(path);
    assert.deepEqual(store.unfinished(), [{ ...hostile, state: 'detached', lastUsedAtMs: 9_000 }]);
  });

  test('a live name and a display are there once', () => {
    store.insert(base);
    assert.throws(() => store.insert(record(7, { name: base.name })), /UNIQUE/);
    assert.throws(() => store.insert(record(8, { display: base.display })), /UNIQUE/);
    store.insert(record(9, { name: base.name, uid: 1002 }));
    store.setState(base.id, 'ending');
    store.insert(record(10, { name: base.name }));
  });

  test('its index knows the same live states as the table of states', () => {
    const database = new DatabaseSync(path);
    const sql = database.prepare("SELECT sql FROM sqlite_master WHERE name = 'liveName'").get();
    database.close();
    const found = [...String(sql?.['sql']).matchAll(/'(\w+)'/g)].map(([, state]) => state);
    assert.deepEqual(found, [...liveStates]);
  });

  test('history is bounded in age and number, and each user has his own', () => {
    for (let number = 1; number <= 8; number++) {
      store.insert(record(number, { uid: 1000 + (number % 2) }));
      store.setEnded(record(number).id, 'ended', 10_000 + number, 'x'.repeat(5_000));
    }
    const all = store.history(undefined, 100);
    assert.deepEqual(
      all.map(({ name }) => name),
      ['n8', 'n7', 'n6', 'n5', 'n4'],
    );
    assert.equal(all[0]?.reason.length, 1024);
    assert.deepEqual(
      store.history(1001, 100).map(({ name }) => name),
      ['n7', 'n5'],
    );
    store.insert(record(20));
    store.setEnded(record(20).id, 'failed', 2_000_000, '');
    assert.deepEqual(
      store.history(undefined, 100).map(({ name }) => name),
      ['n20'],
    );
  });

  test('a store of a newer version is left alone', () => {
    store.close();
    const database = new DatabaseSync(path);
    database.exec('PRAGMA user_version = 99');
    database.close();
    assert.throws(() => new DesktopStore(path), /newer version/);
    rmSync(path);
    store = new DesktopStore(path);
  });
});
