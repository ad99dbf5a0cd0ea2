/**
 * `./sshdesk sessions` beside a daemon with real desktops: as their owner, as somebody else, as
 * root, and without a daemon. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { lstatSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { lookThrough } from '../support/desktop-look.ts';
import {
  type ListedDesktop,
  listDesktops,
  processesOf,
  sessionsCommand,
  startDesktopServer,
} from '../support/desktop-session.ts';
import { checkout, inLab, type LabUser, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import type { TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 110_000);
const keys = [
  ...['id', 'name', 'owner', 'state', 'engine', 'display', 'geometry', 'depth'],
  ...['startedAt', 'lastUsedAt', 'viewers', 'viewedFrom'],
];
const controlSocket = '/run/sshdesk/control.sock';

interface Past extends ListedDesktop {
  readonly endedAt: string;
  readonly reason: string;
}

describe('sessions', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let alice: LabUser;
  let bob: LabUser;
  before(async () => {
    key = makeKey('ed25519');
    alice = makeUser('alice', { authorizedKeys: [key.line] });
    bob = makeUser('bob', { authorizedKeys: [key.line] });
    server = await startDesktopServer('exec xterm');
    await lookThrough(server, { user: 'alice', key });
    const input =
      'startsession --type="unix-desktop" --session="Zweiter Tisch ü" --geometry="800x600" --depth="16"\nquit\n';
    await ssh(server, { user: 'alice', key, args: ['-s'], input }, 'display');
    await lookThrough(server, { user: 'bob', key });
    await eventually('nobody looks', async () =>
      listDesktops().every(({ state }) => state === 'detached'),
    );
  });
  after(async () => await server?.stop());

  const past = (user?: LabUser): readonly Past[] =>
    JSON.parse(sessionsCommand(['history', '--json'], user).stdout) as Past[];
  const titles = (text: string): readonly string[] =>
    text.split('\n')[0]?.split(/ {2,}/).filter(Boolean) ?? [];

  test('list: one’s own as an array for programs, as a table for people', () => {
    const own = listDesktops(alice);
    assert.deepEqual(own.map(({ name }) => name).sort(), ['Zweiter Tisch ü', 'default']);
    for (const desktop of own) {
      assert.deepEqual(Object.keys(desktop), keys);
      assert.equal(desktop.owner, 'alice');
      for (const time of [desktop.startedAt, desktop.lastUsedAt]) {
        assert.equal(new Date(time).toISOString(), time);
      }
    }
    const second = own.find(({ name }) => name !== 'default');
    assert.deepEqual([second?.geometry, second?.depth, second?.viewers], ['800x600', 16, 0]);
    const table = sessionsCommand(['list'], alice);
    assert.equal(table.status, 0);
    assert.ok(titles(table.stdout).includes('OWNER'));
    assert.equal(table.stdout.trimEnd().split('\n').length, 3);
    assert.match(
      table.stdout,
      /^[0-9A-F]{32} +Zweiter Tisch ü +alice +detached +xvnc +:\d+ +800x600x16 /m,
    );
    assert.ok(!table.stdout.includes('bob'));
  });

  test('root sees everybody’s, with their owners', () => {
    const owners = listDesktops().map(({ owner }) => owner);
    assert.deepEqual([...owners].sort(), ['alice', 'alice', 'bob']);
    const { stdout } = sessionsCommand(['list']);
    assert.ok(titles(stdout).includes('OWNER'));
    assert.match(stdout, / bob /);
    assert.match(stdout, / alice /);
  });

  test('a desktop of somebody else is neither seen, suspended nor ended: exit status 1', () => {
    const [his] = listDesktops(bob);
    assert.ok(his !== undefined);
    const pids = processesOf(his);
    assert.ok(listDesktops(alice).every(({ owner }) => owner === 'alice'));
    for (const action of ['suspend', 'terminate']) {
      const refused = sessionsCommand([action, his.id], alice);
      assert.deepEqual([refused.status, refused.stdout], [1, '']);
      assert.equal(
        refused.stderr,
        'sshdesk: There is no such desktop, or several have this name: `sessions list` shows their ids.\n',
      );
      // The same words as for one that is not there: nobody learns which ids exist.
      const nothing = sessionsCommand([action, '0'.repeat(32)], alice);
      assert.deepEqual(nothing, refused);
    }
    assert.deepEqual(processesOf(his), pids);
    assert.ok(past(alice).every(({ owner }) => owner === 'alice'));
  });

  test('an ambiguous name and a missing one: exit status 1; an unknown action: not 0', () => {
    // Both alice and bob have one that is called `default`.
    assert.equal(sessionsCommand(['terminate', 'default']).status, 1);
    assert.equal(sessionsCommand(['terminate']).status, 1);
    assert.equal(sessionsCommand(['terminate', 'nothing'], alice).status, 1);
    assert.notEqual(sessionsCommand(['destroy', 'default'], alice).status, 0);
    assert.equal(listDesktops().length, 3);
  });

  test('suspend, terminate and history, by name or id, as owner and as root', () => {
    const suspended = sessionsCommand(['suspend', 'default', '--json'], alice);
    assert.equal(suspended.status, 0);
    const [answer, ...more] = JSON.parse(suspended.stdout) as ListedDesktop[];
    assert.deepEqual([answer?.name, answer?.state, more], ['default', 'detached', []]);
    assert.deepEqual(past(), []);

    const second = listDesktops(alice).find(({ name }) => name !== 'default');
    const [his] = listDesktops(bob);
    assert.ok(second !== undefined && his !== undefined);
    const ended = sessionsCommand(['terminate', second.name], alice);
    assert.equal(ended.stdout, `${second.name} ${second.id} terminated\n`);
    assert.equal(ended.status, 0);
    assert.equal(sessionsCommand(['terminate', second.name], alice).status, 1);
    assert.equal(sessionsCommand(['terminate', his.id]).status, 0);
    assert.deepEqual(listDesktops(bob), []);

    assert.deepEqual(
      past(alice).map(({ id }) => id),
      [second.id],
    );
    assert.deepEqual(
      past(bob).map(({ id }) => id),
      [his.id],
    );
    const everybody = past();
    assert.deepEqual(everybody.map(({ id }) => id).sort(), [his.id, second.id].sort());
    for (const one of everybody) {
      assert.deepEqual(Object.keys(one), [...keys, 'endedAt', 'reason']);
      assert.deepEqual([one.state, one.reason, one.viewers], ['ended', 'terminated', 0]);
      assert.ok(one.endedAt >= one.startedAt);
    }
    const table = sessionsCommand(['history'], alice);
    assert.equal(table.status, 0);
    assert.match(table.stdout, /terminated$/m);
  });

  test('the launcher says the same, and everybody may ask', () => {
    assert.equal(lstatSync(controlSocket).mode & 0o777, 0o666);
    const launched = spawnSync(path.join(checkout, 'sshdesk'), ['sessions', 'list', '--json'], {
      encoding: 'utf8',
      timeout: 20_000,
    });
    assert.equal(launched.status, 0);
    assert.deepEqual(JSON.parse(launched.stdout), listDesktops());
  });

  test('without a daemon: 255, and nothing on stdout', async () => {
    assert.equal(sessionsCommand(['terminate', 'default'], alice).status, 0);
    await server.stop();
    for (const args of [['list'], ['list', '--json'], ['history'], ['terminate', 'default']]) {
      for (const user of [undefined, alice]) {
        const outcome = sessionsCommand(args, user);
        assert.deepEqual([outcome.status, outcome.stdout], [255, '']);
        assert.match(outcome.stderr, /no daemon is reached/);
      }
    }
  });
});
