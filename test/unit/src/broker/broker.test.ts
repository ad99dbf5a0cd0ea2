import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Log } from '../../../../src/audit/log.ts';
import { Broker } from '../../../../src/broker/broker.ts';
import type { DesktopOrder, Outcome } from '../../../../src/broker/outcome.ts';
import type { ReportOutcome } from '../../../../src/broker/report.ts';
import { DesktopStore } from '../../../../src/broker/store.ts';
import { displayEngines } from '../../../../subsystems/display/engines/index.ts';
import { eventually } from '../../../support/child.ts';
import { type FakeLeader, FakeLeaders } from '../../../support/fake-leader.ts';

const alice = { user: 'alice', uid: 1001 };
const bob = { user: 'bob', uid: 1002 };
const asRfb = { protocol: 'rfb', parameters: new Map<string, string>() };
const plain: DesktopOrder = {
  name: 'work',
  protocol: 'rfb',
  type: 'unix-desktop',
  width: 0,
  height: 0,
  depth: 0,
  parameters: new Map(),
};

function valueOf<T>(outcome: Outcome<T>): T {
  assert.equal(outcome.is, 'done', outcome.is === 'failed' ? outcome.text : '');
  return (outcome as { value: T }).value;
}
function failureOf(outcome: Outcome<unknown>): string {
  assert.equal(outcome.is, 'failed');
  return (outcome as { failure: string }).failure;
}

describe('broker', { timeout: 20_000 }, () => {
  let root: string;
  let leaders: FakeLeaders;
  let broker: Broker;
  let killed: string[];
  let lines: string[];
  let nowMs: number;
  let report: ReportOutcome | 'display';
  let told: string[];
  let given: string[];

  function makeBroker(): Broker {
    return new Broker({
      leaders,
      pamService: () => 'sshd',
      takesTickets: () => true,
      takesAgents: () => true,
      sessionCommand: () => "echo 'it is' & exec wm",
      x11Directory: join(root, 'X11'),
      log: new Log({ write: (_level, _prefix, line) => lines.push(line) }, 'DEBUG3'),
      async readReport(descriptor, _timeoutMs, signal) {
        closeSync(descriptor);
        if (report !== 'display') {
          return report;
        }
        const leader = leaders.started.at(-1) as FakeLeader;
        if (leader.server !== 'ready') {
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          return { is: 'closed' };
        }
        const display = leader.spawned[0]?.arguments[1]?.toString().slice(1);
        return { is: 'line', line: String(display) };
      },
      sleepMs: (ms) => new Promise((resolve) => setTimeout(resolve, Math.min(ms, 50)).unref()),
      store: new DesktopStore(join(root, 'state.db')),
      engines: displayEngines,
      limits: { desktopsPerUser: 3, desktops: 4, viewersPerDesktop: 2 },
      leftovers: {
        find: async (uid, path) => {
          killed.push(`find ${uid} ${path}`);
          return [];
        },
        kill: () => {},
      },
      desktopsDirectory: join(root, 'desktops'),
      nowMs: () => nowMs,
      randomBytes,
    });
  }

  function opener(connection: number) {
    return {
      connection,
      from: '192.0.2.1',
      viewerEnd: (viewer: number, why: string, status: number) =>
        told.push(`end ${connection} ${viewer} ${why} (${status})`),
      given: (viewer: number, id: string) => given.push(`${viewer} ${id}`),
      isGone: () => false,
      viewerWarning: (viewer: number, line: string) => told.push(`warn ${viewer} ${line}`),
      agentFor: () => undefined,
    };
  }

  async function attach(owner: typeof alice, id: string, connection: number): Promise<number> {
    const { viewer, descriptor } = valueOf(
      await broker.attach(owner, id, opener(connection), asRfb),
    );
    closeSync(descriptor);
    return viewer;
  }

  function stateOf(id: string): string | undefined {
    return broker.list('everybody').find((desktop) => desktop.id === id)?.state;
  }

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'broker-'));
    mkdirSync(join(root, 'desktops'));
    mkdirSync(join(root, 'X11'));
    leaders = new FakeLeaders();
    killed = [];
    lines = [];
    told = [];
    given = [];
    nowMs = Date.parse('2026-01-02T03:04:05Z');
    report = 'display';
    broker = makeBroker();
  });
  afterEach(() => {
    broker.close();
    rmSync(root, { recursive: true, force: true });
  });

  test('a list has the sizes that the displays say, and the last one when they say none', async () => {
    const { id } = valueOf(await broker.start(alice, plain, 1));
    const leader = leaders.started[0] as FakeLeader;
    const shown = async () => {
      const [desktop] = await broker.listMeasured(alice.uid);
      return `${desktop?.width}x${desktop?.height}`;
    };
    const first = await shown();
    leader.size = async () => ({ width: 777, height: 555 });
    assert.equal(await shown(), '777x555');
    for (const nonsense of [0, 65_535, Number.NaN]) {
      leader.size = async () => ({ width: nonsense, height: 555 });
      assert.equal(await shown(), '777x555');
    }
    assert.notEqual(first, '777x555');
    // One that never answers holds up nobody; the next list does not ask it again.
    let asked = 0;
    leader.size = () => {
      asked++;
      return new Promise(() => {});
    };
    assert.equal(await shown(), '777x555');
    assert.equal(await shown(), '777x555');
    assert.equal(asked, 1);
    // What is stored outlives the daemon.
    leaders.reachable.set(join(root, 'desktops', id), leader);
    broker.close();
    broker = makeBroker();
    await broker.recover();
    assert.equal(await shown(), '777x555');
  });

  test('a start goes through account, session, server and session command in this order', async () => {
    const desktop = valueOf(await broker.start(alice, plain, 1));
    assert.equal(desktop.state, 'running');
    assert.match(desktop.id, /^[0-9A-F]{32}$/);
    assert.deepEqual(
      [desktop.width, desktop.height, desktop.depth, desktop.type, desktop.engine],
      [1280, 800, 24, 'unix-desktop', 'xvnc'],
    );
    const leader = leaders.started[0] as FakeLeader;
    assert.deepEqual(leader.orders, [
      `begin 1 alice sshd :${desktop.display}`,
      'account',
      `establish :${desktop.display}`,
      'desktop-begin',
      'spawn /usr/bin/Xvnc',
      'spawn /bin/bash',
      'agent-watch',
    ]);
    const [server, session] = leader.spawned;
    assert.ok(server?.essential && session?.essential && server.reportDescriptor);
    const words = server.arguments.map(String);
    assert.equal(words[words.indexOf('-rfbport') + 1], '-1');
    assert.equal(words[words.indexOf('-nolisten') + 1], 'tcp');
    assert.equal(words[words.indexOf('-SecurityTypes') + 1], 'None');
    assert.deepEqual(session.arguments.map(String), [
      '/bin/bash',
      '-c',
      `exec dbus-run-session -- /bin/sh -c 'echo '\\''it is'\\'' & exec wm'`,
    ]);
    const environment = session.environment.map(String);
    const user = join(root, 'desktops', desktop.id, 'user');
    for (const entry of [
      `DISPLAY=:${desktop.display}`,
      `XAUTHORITY=${user}/Xauthority`,
      `XDG_RUNTIME_DIR=${user}/run`,
      'HOME=/home/alice',
      'USER=alice',
      'LOGNAME=alice',
      'SHELL=/bin/bash',
      'XDG_SESSION_TYPE=x11',
    ]) {
      assert.ok(environment.includes(entry), entry);
    }
  });

  test('a connection that ends while it waits for a desktop leaves no viewer', async () => {
    const starting = broker.start(alice, plain, 1);
    const [{ id } = { id: '' }] = broker.list('everybody');
    const attaching = broker.attach(alice, id, { ...opener(2), isGone: () => true }, asRfb);
    broker.connectionClosed(2);
    valueOf(await starting);
    assert.equal(failureOf(await attaching), 'refused');
    assert.equal(broker.list('everybody')[0]?.viewers, 0);
  });

  test('a desktop that comes up while the daemon lets go is ended, not left without an owner', async () => {
    const starting = broker.start(alice, plain, 1);
    broker.close();
    assert.equal(failureOf(await starting), 'refused');
    assert.equal(leaders.started[0]?.orders.at(-1), 'end');
    broker = makeBroker();
  });

  test('what PAM says of the environment counts, a bus or display of a login does not', async () => {
    leaders.prepare = (leader) => {
      leader.environment = [
        'XDG_RUNTIME_DIR=/run/user/1001',
        'LANG=de_DE.UTF-8',
        'DISPLAY=:0',
        'A=b=c',
        '=x',
        'DBUS_SESSION_BUS_ADDRESS=unix:x',
      ].map((text) => Buffer.from(text));
    };
    valueOf(await broker.start(alice, plain, 1));
    const environment =
      (leaders.started[0] as FakeLeader).spawned[1]?.environment.map(String) ?? [];
    assert.ok(environment.includes('XDG_RUNTIME_DIR=/run/user/1001'));
    assert.ok(environment.includes('LANG=de_DE.UTF-8'));
    assert.ok(environment.includes('A=b=c'));
    assert.equal(environment.filter((entry) => entry.startsWith('DISPLAY=')).length, 1);
    assert.ok(!environment.includes('DISPLAY=:0'));
    assert.ok(!environment.some((entry) => entry.startsWith('DBUS_')));
  });

  test('states follow viewers; the last one leaving detaches', async () => {
    const { id } = valueOf(await broker.start(alice, plain, 1));
    const first = await attach(alice, id, 1);
    const second = await attach(alice, id, 2);
    assert.equal(stateOf(id), 'running');
    broker.detach(9, first); // somebody else's number
    broker.detach(1, first);
    assert.equal(stateOf(id), 'running');
    nowMs += 60_000;
    broker.detach(2, second);
    assert.equal(stateOf(id), 'detached');
    assert.equal(broker.list(alice.uid)[0]?.lastUsedAtMs, nowMs);
    await attach(alice, id, 3);
    assert.equal(stateOf(id), 'running');
    broker.connectionClosed(3);
    assert.equal(stateOf(id), 'detached');
  });

  test('a desktop whose starter goes before looking at it is detached', async () => {
    const { id } = valueOf(await broker.start(alice, plain, 7));
    broker.connectionClosed(7);
    assert.equal(stateOf(id), 'detached');
    const starting = broker.start(alice, { ...plain, name: 'other' }, 8);
    broker.connectionClosed(8);
    assert.equal(stateOf(valueOf(await starting).id), 'detached');
  });

  test('suspend ends every viewer, the desktop stays', async () => {
    const { id } = valueOf(await broker.start(alice, plain, 1));
    const viewer = await attach(alice, id, 1);
    assert.equal(failureOf(await broker.suspend(bob.uid, id)), 'notFound');
    valueOf(await broker.suspend(alice.uid, 'work'));
    assert.deepEqual(told, [`end 1 ${viewer} The desktop was suspended. (0)`]);
    assert.equal(stateOf(id), 'detached');
  });

  test('a stream is held before anybody has it, and is given to nobody when it cannot be', async () => {
    const { id } = valueOf(await broker.start(alice, plain, 1));
    const viewer = await attach(alice, id, 1);
    assert.deepEqual(given, [`${viewer} ${id}`]);
    const cannot = {
      ...opener(1),
      given: () => {
        throw new Error('no room');
      },
    };
    assert.equal(failureOf(await broker.attach(alice, id, cannot, asRfb)), 'engine');
    assert.equal(broker.list(alice.uid)[0]?.viewers, 1);
  });

  test('a viewer from an earlier daemon is counted, and ended with the others', async () => {
    const { id } = valueOf(await broker.start(alice, plain, 1));
    const { viewer } = valueOf(await broker.keep(alice, id, opener(7)));
    assert.equal(broker.list(alice.uid)[0]?.viewers, 1);
    assert.deepEqual(given, [], 'its stream is held where it was opened');
    assert.equal(failureOf(await broker.keep(bob, id, opener(8))), 'notFound');
    valueOf(await broker.suspend(alice.uid, id));
    assert.deepEqual(told, [`end 7 ${viewer} The desktop was suspended. (0)`]);
  });

  test('a desktop suspended while a viewer is being connected has no viewer', async () => {
    const { id } = valueOf(await broker.start(alice, plain, 1));
    const attaching = broker.attach(alice, id, opener(1), asRfb);
    await Promise.resolve();
    valueOf(await broker.suspend(alice.uid, id));
    assert.equal(failureOf(await attaching), 'engine');
    assert.equal(broker.list(alice.uid)[0]?.viewers, 0);
  });

  test('nobody finds, sees, opens or ends the desktop of another user', async () => {
    const { id } = valueOf(await broker.start(alice, plain, 1));
    assert.deepEqual(broker.list(bob.uid), []);
    assert.equal(failureOf(await broker.find(bob, id)), 'notFound');
    assert.equal(failureOf(await broker.find(bob, 'work')), 'notFound');
    assert.equal(failureOf(await broker.attach(bob, id, opener(1), asRfb)), 'notFound');
    assert.equal(failureOf(await broker.terminate(bob.uid, id)), 'notFound');
    assert.equal(broker.list('everybody').length, 1);
  });

  test('ids are found without regard to case, names with', async () => {
    const { id } = valueOf(await broker.start(alice, plain, 1));
    assert.equal(valueOf(await broker.find(alice, id.toLowerCase())).id, id);
    assert.equal(valueOf(await broker.find(alice, 'work')).id, id);
    assert.equal(failureOf(await broker.find(alice, 'WORK')), 'notFound');
  });

  test('a live name is refused to its owner only, and free once it is terminated', async () => {
    valueOf(await broker.start(alice, plain, 1));
    assert.equal(failureOf(await broker.start(alice, plain, 1)), 'nameTaken');
    leaders.prepare = (leader) => {
      leader.uid = 1002;
    };
    valueOf(await broker.start(bob, plain, 1));
    leaders.prepare = () => {};
    const ending = broker.terminate(alice.uid, 'work');
    assert.deepEqual(broker.list(alice.uid), []);
    valueOf(await broker.start(alice, plain, 1));
    valueOf(await ending);
    assert.equal(broker.list(alice.uid).length, 1);
  });

  for (const name of [
    '',
    ' ',
    'a/b',
    '../x',
    '$(id)',
    'a\nb',
    '`id`',
    '-rf',
    '.x',
    'x'.repeat(65),
    'A'.repeat(32),
    'x ',
    'ünï'.repeat(30),
  ]) {
    test(`the name ${JSON.stringify(name).slice(0, 40)} is refused`, async () => {
      assert.equal(failureOf(await broker.start(alice, { ...plain, name }, 1)), 'badRequest');
      assert.equal(leaders.started.length, 0);
    });
  }

  test('geometry and depth have bounds', async () => {
    for (const wrong of [{ width: 16_385 }, { height: 20_000 }, { width: 1 }, { depth: 7 }]) {
      assert.equal(failureOf(await broker.start(alice, { ...plain, ...wrong }, 1)), 'badRequest');
    }
    const large = { ...plain, width: 16_384, height: 16, depth: 16 };
    assert.equal(valueOf(await broker.start(alice, large, 1)).depth, 16);
  });

  test('protocols and types that no engine has are refused, also inherited names', async () => {
    for (const wrong of [{ protocol: 'spice' }, { protocol: 'toString' }, { type: 'unix-kde' }]) {
      assert.equal(failureOf(await broker.start(alice, { ...plain, ...wrong }, 1)), 'badRequest');
    }
  });

  test('limits per user and of all', async () => {
    for (const name of ['a', 'b', 'c']) {
      valueOf(await broker.start(alice, { ...plain, name }, 1));
    }
    assert.equal(failureOf(await broker.start(alice, { ...plain, name: 'd' }, 1)), 'userLimit');
    leaders.prepare = (leader) => {
      leader.uid = 1002;
    };
    valueOf(await broker.start(bob, plain, 1));
    assert.equal(failureOf(await broker.start(bob, { ...plain, name: 'e' }, 1)), 'totalLimit');
    const { id } = broker.list(bob.uid)[0] as { id: string };
    await attach(bob, id, 1);
    await attach(bob, id, 2);
    assert.equal(failureOf(await broker.attach(bob, id, opener(3), asRfb)), 'userLimit');
  });

  test('two who want the default desktop at once share one start', async () => {
    const [one, two] = await Promise.all([
      broker.findOrStart(alice, '', 1),
      broker.findOrStart(alice, 'default', 2),
    ]);
    assert.equal(valueOf(one).id, valueOf(two).id);
    assert.equal(valueOf(one).name, 'default');
    assert.equal(leaders.started.length, 1);
  });

  test('those who share a start that fails share its failure', async () => {
    leaders.prepare = (leader) => {
      leader.sessionLog = 'a\nb\nc\nd\ne\nf\n';
      leader.mapped = new Promise(() => {});
    };
    const both = await Promise.all([
      broker.findOrStart(alice, '', 1),
      broker.findOrStart(alice, '', 2),
    ]);
    for (const outcome of both) {
      assert.equal(failureOf(outcome), 'engine');
      assert.deepEqual((outcome as { text: string }).text.split('\n'), [
        'The desktop could not be started: the session exited with status 3',
        'b',
        'c',
        'd',
        'e',
        'f',
      ]);
    }
    assert.deepEqual(broker.list('everybody'), []);
    assert.equal(broker.history(alice.uid, 10)[0]?.state, 'failed');
  });

  test('a server that fails tells its last lines without control characters', async () => {
    leaders.prepare = (leader) => {
      leader.server = { log: '\u001b[31mFatal\u0007 error\n\n(EE) no\n' };
    };
    const outcome = await broker.start(alice, plain, 1);
    assert.equal(failureOf(outcome), 'engine');
    assert.match(
      (outcome as { text: string }).text,
      /xvnc exited with status 3\n\[31mFatal  error\n\(EE\) no$/,
    );
  });

  test('another display is tried when one turns out to be taken', async () => {
    let tries = 0;
    leaders.prepare = (leader) => {
      tries++;
      if (tries < 3) {
        leader.server = { log: '_XSERVTransMakeAllCOTSServerListeners: server already running\n' };
      }
    };
    valueOf(await broker.start(alice, plain, 1));
    assert.equal(tries, 3);
    assert.ok(leaders.started[0]?.orders.includes('end'));
  });

  test('a socket or lock of another server is not taken for a free display', async () => {
    writeFileSync(join(root, 'X11', 'X100'), '');
    writeFileSync(join(root, '.X101-lock'), '');
    assert.equal(valueOf(await broker.start(alice, plain, 1)).display, 102);
  });

  for (const [what, prepare] of [
    ['the account is refused', (leader: FakeLeader) => void (leader.accountCode = 7)],
    ['the session is refused', (leader: FakeLeader) => void (leader.sessionCode = 14)],
    ['the account is another one', (leader: FakeLeader) => void (leader.uid = 0)],
  ] as const) {
    test(`nothing is spawned when ${what}`, async () => {
      leaders.prepare = prepare;
      assert.equal(failureOf(await broker.start(alice, plain, 1)), 'refused');
      assert.deepEqual(leaders.started[0]?.spawned, []);
      assert.ok(leaders.started[0]?.orders.includes('end'));
    });
  }

  test('no window in time is a warning to who looks, now or later, and no error', async () => {
    const mapped = Promise.withResolvers<number>();
    leaders.prepare = (leader) => {
      leader.mapped = mapped.promise;
    };
    const { id } = valueOf(await broker.start(alice, plain, 1));
    mapped.resolve(0);
    await new Promise((resolve) => setImmediate(resolve));
    const viewer = await attach(alice, id, 1);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(told.length, 1);
    assert.match(told[0] ?? '', new RegExp(`^warn ${viewer} No window has appeared`));
    assert.equal(stateOf(id), 'running');
  });

  test('a desktop that ends by itself ends its viewers and leaves the list', async () => {
    const { id } = valueOf(await broker.start(alice, plain, 1));
    const viewer = await attach(alice, id, 1);
    const leader = leaders.started[0] as FakeLeader;
    leader.die(2);
    await eventually('its directory is gone', () => !existsSync(join(root, 'desktops', id)));
    await eventually('it is told', () => told.length > 0);
    assert.deepEqual(broker.list('everybody'), []);
    assert.deepEqual(told, [
      `end 1 ${viewer} The desktop has ended: a process of the desktop ended. (1)`,
    ]);
    const [past] = broker.history(alice.uid, 10);
    assert.equal(past?.state, 'ended');
    assert.equal(past?.reason, 'a process of the desktop ended');
    assert.ok(!existsSync(join(root, 'desktops', id)));
  });

  test('a leader that is gone without a word is a failure, and its processes are looked for', async () => {
    const { id } = valueOf(await broker.start(alice, plain, 1));
    (leaders.started[0] as FakeLeader).gone();
    await eventually('its directory is gone', () => !existsSync(join(root, 'desktops', id)));
    assert.equal(broker.history(alice.uid, 10)[0]?.state, 'failed');
    assert.deepEqual(killed, [`find 1001 ${join(root, 'desktops', id)}/user/Xauthority`]);
    assert.ok(!existsSync(join(root, 'desktops', id)));
  });

  test('terminate settles when everything is gone', async () => {
    const { id } = valueOf(await broker.start(alice, plain, 1));
    valueOf(await broker.terminate('everybody', id));
    assert.ok(leaders.started[0]?.orders.includes('end'));
    assert.equal(broker.history(alice.uid, 10)[0]?.reason, 'terminated');
    assert.ok(!existsSync(join(root, 'desktops', id)));
    assert.equal(failureOf(await broker.terminate('everybody', id)), 'notFound');
  });

  test('terminate while it starts: the start fails, nothing is left', async () => {
    const starting = broker.start(alice, plain, 1);
    valueOf(await broker.terminate(alice.uid, 'work'));
    assert.equal(failureOf(await starting), 'notFound');
    assert.ok(leaders.started[0]?.orders.includes('end'));
    assert.deepEqual(broker.list('everybody'), []);
  });

  describe('a new monitor', () => {
    async function restart(change: (leader: FakeLeader) => void = () => {}) {
      const { id } = valueOf(await broker.start(alice, plain, 1));
      const leader = leaders.started[0] as FakeLeader;
      const directory = join(root, 'desktops', id);
      broker.close();
      change(leader);
      leaders.reachable.set(directory, leader);
      broker = makeBroker();
      await broker.recover();
      return { id, leader, directory };
    }

    test('finds a desktop again and goes on with it', async () => {
      const { id, leader } = await restart();
      assert.equal(stateOf(id), 'detached');
      await attach(alice, id, 4);
      assert.equal(stateOf(id), 'running');
      leader.die(2);
      await eventually('it has left the list', () => stateOf(id) === undefined);
    });

    for (const [what, change] of [
      ['of another user', (leader: FakeLeader) => void (leader.user = 'bob')],
      ['of another uid', (leader: FakeLeader) => void (leader.uid = 0)],
      ['with another id', (leader: FakeLeader) => void (leader.description.id = 'F'.repeat(32))],
      ['with another start', (leader: FakeLeader) => void (leader.description.startedAt = 'x')],
    ] as const) {
      test(`does not take a leader ${what} for it`, async () => {
        const { id, leader, directory } = await restart(change);
        assert.equal(stateOf(id), undefined);
        assert.equal(broker.history(alice.uid, 1)[0]?.state, 'failed');
        assert.ok(leader.orders.includes('end'));
        assert.ok(!existsSync(directory));
      });
    }

    test('after a reboot fails what is not there and removes what is left, names being data', async () => {
      const { id } = valueOf(await broker.start(alice, plain, 1));
      broker.close();
      const user = join(root, 'desktops', id, 'user');
      const outside = join(root, 'outside');
      mkdirSync(outside);
      writeFileSync(join(outside, 'precious'), 'x');
      for (const name of ['$(touch pwned)', 'a\nb', '-rf', '*', '\u00ff', '`id`']) {
        mkdirSync(join(user, name));
        writeFileSync(join(user, name, name), '');
      }
      symlinkSync(outside, join(user, 'link'));
      symlinkSync(outside, join(user, 'run', 'link'));
      writeFileSync(Buffer.concat([Buffer.from(`${user}/`), Buffer.from([0xff, 0xfe])]), '');
      chmodSync(join(user, '*'), 0o000);
      writeFileSync(join(root, 'desktops', '$(id)\n'), '');
      mkdirSync(join(root, 'desktops', 'C'.repeat(32), 'user'), { recursive: true });
      broker = makeBroker();
      await broker.recover();
      assert.ok(!existsSync(join(root, 'desktops', id)), lines.join('\n'));
      assert.ok(existsSync(join(outside, 'precious')));
      assert.ok(existsSync(join(root, 'desktops', '$(id)\n')));
      assert.ok(!existsSync(join(root, 'desktops', 'C'.repeat(32))));
      assert.ok(!existsSync('pwned'));
      assert.ok(lines.some((line) => line.includes('$(id)\\012 is not a desktop')));
      const [past] = broker.history(alice.uid, 1);
      assert.deepEqual([past?.state, past?.name], ['failed', 'work']);
    });

    test('a record that points elsewhere is not followed', async () => {
      const { id } = valueOf(await broker.start(alice, plain, 1));
      const record = broker.list(alice.uid)[0];
      broker.close();
      const outside = join(root, 'outside');
      mkdirSync(outside);
      const store = new DesktopStore(join(root, 'state.db'));
      const [kept] = store.unfinished();
      assert.ok(kept !== undefined && record !== undefined);
      store.setEnded(id, 'ended', nowMs, '');
      store.insert({ ...kept, id: 'B'.repeat(32), directory: outside });
      store.close();
      broker = makeBroker();
      await broker.recover();
      assert.ok(existsSync(outside));
      assert.deepEqual(broker.list('everybody'), []);
    });

    test('ends what was only starting', async () => {
      const silent = Promise.withResolvers<number>();
      leaders.prepare = (leader) => {
        leader.server = 'silent';
        leader.mapped = silent.promise;
      };
      void broker.start(alice, plain, 1);
      await eventually('it is starting', () => broker.list(alice.uid)[0]?.state === 'starting');
      const [desktop] = broker.list(alice.uid);
      assert.equal(desktop?.state, 'starting');
      const leader = leaders.started[0] as FakeLeader;
      broker.close();
      leaders.reachable.set(join(root, 'desktops', desktop?.id ?? ''), leader);
      broker = makeBroker();
      await broker.recover();
      assert.ok(leader.orders.includes('end'));
      assert.equal(broker.history(alice.uid, 1)[0]?.state, 'failed');
    });
  });
});
