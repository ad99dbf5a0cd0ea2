import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { DatabaseSync } from 'node:sqlite';
import { LoginStore, processStart } from '../../../../src/audit/login-store.ts';

const end = { terminal: 'pts/1', exit: '0', why: 'closed' };

function login(number: number, startedAtMs = number) {
  return {
    id: number.toString(16).padStart(16, '0'),
    user: number % 2 === 0 ? 'alice' : 'bob',
    uid: number % 2 === 0 ? 1001 : 1002,
    address: '192.0.2.1',
    port: 1024 + number,
    factors: ['publickey SHA256:x'],
    startedAtMs,
  };
}
const all = { uid: undefined, user: undefined, sinceMs: 0, maxRows: 100 };

describe('the store of logins', () => {
  let root: string;
  let file: string;
  const open: LoginStore[] = [];
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'logins-'));
    file = join(root, 'logins.db');
  });
  afterEach(() => {
    for (const store of open.splice(0)) {
      store.close();
    }
    rmSync(root, { recursive: true });
  });
  function make(...more: readonly [limits?: { maxAgeMs: number; maxRows: number }, pid?: number]) {
    const store = new LoginStore(file, ...more);
    open.push(store);
    return store;
  }

  test('what ended is there, newest first, of whom it is asked; and after a restart', () => {
    const store = make();
    assert.equal(statSync(file).mode & 0o777, 0o600);
    for (const number of [1, 2, 3, 4]) {
      store.began(login(number));
    }
    assert.deepEqual(store.past(all), []);
    for (const number of [1, 2, 3]) {
      store.ended(login(number).id, 10 + number, end);
    }
    // The first word counts.
    store.ended(login(1).id, 99, { ...end, why: 'again' });
    const again = make();
    assert.deepEqual(again.past(all), [
      { ...login(3), ...end, endedAtMs: 13 },
      { ...login(2), ...end, endedAtMs: 12 },
      { ...login(1), ...end, endedAtMs: 11 },
    ]);
    const ports = (query: object): readonly number[] =>
      again.past({ ...all, ...query }).map(({ port }) => port - 1024);
    assert.deepEqual(ports({ uid: 1001 }), [2]);
    assert.deepEqual(ports({ user: 'bob' }), [3, 1]);
    assert.deepEqual(ports({ uid: 1001, user: 'bob' }), []);
    assert.deepEqual(ports({ sinceMs: 2 }), [3, 2]);
    assert.deepEqual(ports({ maxRows: 1 }), [3]);
    assert.deepEqual(ports({ user: "' OR 1=1 --" }), []);
  });

  test('a daemon that is killed leaves logins that are gone, without an end; one that lives does not', async () => {
    const child = spawn('sleep', ['60']);
    await once(child, 'spawn');
    const pid = child.pid ?? 0;
    const theirs = make(undefined, pid);
    theirs.began(login(2));
    theirs.publish(login(2).id, '{"sessions":[]}');
    const ours = make();
    ours.began(login(3));
    ours.findGone();
    assert.deepEqual(ours.past(all), []);
    assert.deepEqual(ours.elsewhere(undefined, 10), [
      { ...login(2), daemon: pid, open: '{"sessions":[]}' },
    ]);
    assert.deepEqual(ours.elsewhere(1002, 10), []);
    child.kill('SIGKILL');
    await once(child, 'exit');
    ours.findGone();
    assert.deepEqual(ours.elsewhere(undefined, 10), []);
    assert.deepEqual(ours.past(all), [
      { ...login(2), terminal: '', exit: '', why: 'gone', endedAtMs: undefined },
    ]);
    // A late word of it changes nothing.
    theirs.ended(login(2).id, 77, end);
    assert.equal(ours.past(all)[0]?.why, 'gone');
  });

  test('a process is known by its start, not by its number alone', () => {
    assert.match(processStart(process.pid) ?? '', /^[0-9a-f-]{36} \d+$/);
    assert.equal(processStart(2 ** 22 + 1), undefined);
    const store = make();
    store.began(login(1));
    const database = new DatabaseSync(file);
    database.exec("UPDATE login SET daemonStart = 'another boot 1'");
    database.close();
    store.findGone();
    assert.equal(store.past(all)[0]?.why, 'gone');
  });

  test('it is bounded in rows and age, and never forgets who is there', () => {
    const store = make({ maxAgeMs: 1_000_000, maxRows: 100 });
    store.began(login(1_000_000, 1));
    for (let number = 1; number <= 400; number++) {
      store.began(login(number));
      store.ended(login(number).id, number + 1, end);
    }
    const kept = store.past({ ...all, maxRows: 1000 });
    assert.ok(kept.length >= 100 && kept.length <= 164, `${kept.length}`);
    assert.equal(kept[0]?.port, 1024 + 400);
    store.ended(login(1_000_000).id, 5, end);
    assert.equal(store.past({ ...all, maxRows: 1000 }).length, kept.length + 1);
    for (let number = 500; number < 564; number++) {
      store.began(login(number, 9_000_000));
    }
    assert.deepEqual(store.past({ ...all, maxRows: 1000 }), []);
  });

  test('long texts are cut; a file of a newer version, or none of ours, is refused', () => {
    const store = make();
    store.began({ ...login(1), user: 'u'.repeat(5_000), factors: ['f'.repeat(5_000)] });
    store.ended(login(1).id, 2, { ...end, why: 'w'.repeat(5_000) });
    const [past] = store.past(all);
    assert.deepEqual(
      [past?.user.length, past?.factors[0]?.length, past?.why.length],
      [512, 512, 512],
    );
    const database = new DatabaseSync(file);
    database.exec('PRAGMA user_version = 99');
    database.close();
    assert.throws(() => new LoginStore(file), /newer version/);
    writeFileSync(
      join(root, 'text'),
      'this is no database, but a text of some length\n'.repeat(100),
    );
    assert.throws(() => new LoginStore(join(root, 'text')));
  });
});
