/** The orders to connect and to listen, given to a leader by hand. As root, in the lab. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, Socket } from 'node:net';
import { constants } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { listenOn } from '../../pam/leader-protocol.ts';
import { closeDescriptor } from '../../src/base/socket.native.ts';
import { CallFailure } from '../../src/ssh/wire/peer.ts';
import { Child, eventually } from '../support/child.ts';
import { findUser, inLab, makeUser } from '../support/lab.ts';
import { type DrivenLeader, ZygoteDriver } from '../support/leader-driver.ts';
import { freePort } from '../support/server.ts';
import { listeners, startService } from '../support/tunnel.ts';

const lab = inLab(import.meta.url);
const { EACCES } = constants.errno;

describe('a leader that forwards', lab, () => {
  let zygote: ZygoteDriver;
  let leader: DrivenLeader;
  let folder = '';
  before(async () => {
    makeUser('alice');
    const { uid, gid } = findUser('alice');
    folder = mkdtempSync('/tmp/leader-forward-');
    chownSync(folder, uid, gid);
    zygote = new ZygoteDriver();
    leader = await begun('alice');
  });
  after(() => {
    zygote?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const begun = async (user: string): Promise<DrivenLeader> => {
    const one = await zygote.fork();
    const nobody = { service: '', rhost: '', tty: '', connection: '', loggedAs: '' };
    await one.client.begin({ kind: 0, user, ...nobody });
    await one.client.establish('ssh');
    return one;
  };
  const tcp = (port: number, where: number = listenOn.loopback, address = '') =>
    leader.client.listenTcp({ where, address, port, family: 0 });
  const helpersOf = (pid: number): number =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).length;

  test('connects, and says why where it cannot', async () => {
    await using echo = await startService();
    const done = await leader.client.connectTcp('localhost', echo.port, 0, 5000);
    assert.equal(done.is, 'connected');
    if (done.is === 'connected') {
      const socket = new Socket({ fd: done.descriptor });
      socket.end('hello');
      const [data] = await new Promise<Buffer[]>((resolve) => {
        socket.once('data', (chunk: Buffer) => resolve([chunk]));
      });
      assert.equal(String(data), 'hello');
      socket.destroy();
    }
    assert.deepEqual(await leader.client.connectTcp('127.0.0.1', await freePort(), 0, 5000), {
      is: 'failed',
      reason: 'Connection refused',
    });
    assert.deepEqual(await leader.client.connectTcp('::1', echo.port, 4, 5000), {
      is: 'unknown',
      reason: 'Address family for hostname not supported',
    });
    const unknown = await leader.client.connectTcp('no such host', 1, 0, 5000);
    assert.equal(unknown.is, 'unknown');
    for (const host of ['', '-', 'x'.repeat(2000), 'a\nb', '%s%n']) {
      assert.notEqual((await leader.client.connectTcp(host, 1, 4, 3000)).is, 'connected', host);
    }
    await assert.rejects(leader.client.connectTcp('a\0b', 1, 0, 1000), { code: 22 });
    await assert.rejects(leader.client.connectTcp('localhost', 65_536, 0, 1000), { code: 22 });
  });

  test('a destination that says nothing costs its time and no more', async () => {
    // Nobody accepts there, and the backlog is full: the kernel drops what comes.
    const full = await tcp(0, listenOn.address, '127.0.0.1');
    assert.ok(full.is === 'listening');
    const fillers = Array.from({ length: 160 }, () => {
      const socket = connect(full.port, '127.0.0.1');
      return socket.on('error', () => {}); // those beyond the backlog
    });
    await eventually('a full backlog', async () => {
      const { is } = await leader.client.connectTcp('127.0.0.1', full.port, 4, 300);
      return is === 'failed';
    });
    const began = performance.now();
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, () => leader.client.connectTcp('127.0.0.1', full.port, 4, 700)),
    );
    assert.ok(performance.now() - began < 10_000);
    const late = { is: 'failed', reason: 'Connection timed out' } as const;
    assert.deepEqual(
      outcomes,
      outcomes.map(() => late),
    );
    for (const socket of fillers) {
      socket.destroy();
    }
    full.descriptors.forEach(closeDescriptor);
    await leader.client.closeListener(full.listener);
    await eventually('the end of the helpers', () => helpersOf(leader.client.pid) === 0);
  });

  test('listens on every loopback address with one port, and is deaf when it is told so', async () => {
    const made = await tcp(0);
    assert.ok(made.is === 'listening');
    assert.ok(made.port > 1023);
    assert.equal(made.descriptors.length, listeners(made.port).length);
    // Whoever keeps a copy hears nothing any more.
    await leader.client.closeListener(made.listener);
    assert.deepEqual(listeners(made.port), []);
    await assert.rejects(
      new Promise((resolve, reject) => {
        connect(made.port, '127.0.0.1').once('connect', resolve).once('error', reject);
      }),
      { code: 'ECONNREFUSED' },
    );
    made.descriptors.forEach(closeDescriptor);
    await assert.rejects(leader.client.closeListener(made.listener), { code: 2 });
  });

  test('a port that is taken or privileged, and an address of another machine, are refused', async () => {
    await using taken = await startService();
    const cases = [
      [
        await tcp(taken.port, listenOn.address, '127.0.0.1'),
        /bind \[127\.0\.0\.1\]:\d+: Address already/,
      ],
      [await tcp(80), /bind \[.*\]:80: Permission denied/],
      [await tcp(0, listenOn.address, '192.0.2.1'), /Cannot assign requested address/],
      [await tcp(0, listenOn.address, 'no such host'), /getaddrinfo: no such host: /],
    ] as const;
    for (const [outcome, why] of cases) {
      assert.equal(outcome.is, 'refused');
      assert.match(outcome.is === 'refused' ? outcome.reason : '', why);
    }
  });

  test('256 listeners and no more; each end makes room', async () => {
    const one = await begun('alice');
    const made: { listener: number }[] = [];
    for (let count = 0; count < 256; count++) {
      const outcome = await one.client.listenTcp({
        where: listenOn.address,
        address: '127.0.0.1',
        port: 0,
        family: 4,
      });
      assert.ok(outcome.is === 'listening');
      outcome.descriptors.forEach(closeDescriptor);
      made.push(outcome);
    }
    const more = { where: listenOn.address, address: '127.0.0.1', port: 0, family: 4 } as const;
    await assert.rejects(one.client.listenTcp(more), { code: 28 });
    await one.client.closeListener(made[7]?.listener ?? 0);
    const again = await one.client.listenTcp(more);
    assert.ok(again.is === 'listening');
    again.descriptors.forEach(closeDescriptor);
    assert.equal(listeners(again.port).length, 1, 'the leader holds it');
    one.client.drop();
    await eventually('the end of all of them', () => listeners(again.port).length === 0);
  });

  test('a Unix socket is the user’s, with the mask, and goes with its listener', async () => {
    const place = path.join(folder, 'one');
    const made = await leader.client.listenUnix(place, 0o117, false);
    assert.ok(made.is === 'listening');
    assert.deepEqual(
      [statSync(place).uid, statSync(place).mode & 0o777],
      [findUser('alice').uid, 0o660],
    );
    const again = await leader.client.listenUnix(place, 0o177, false);
    assert.equal(again.is === 'refused' && /Address already in use/.test(again.reason), true);
    await leader.client.closeListener(made.listener);
    assert.equal(existsSync(place), false);
    made.descriptors.forEach(closeDescriptor);
  });

  test('the end of the login removes its sockets and nothing that took their names', async () => {
    const one = await begun('alice');
    const [kept, moved, replaced] = ['kept', 'moved', 'replaced'].map((name) =>
      path.join(folder, name),
    ) as [string, string, string];
    for (const place of [kept, moved, replaced]) {
      const made = await one.client.listenUnix(place, 0o177, false);
      assert.ok(made.is === 'listening');
      made.descriptors.forEach(closeDescriptor);
    }
    renameSync(moved, `${moved}-away`);
    rmSync(replaced);
    writeFileSync(replaced, 'precious');
    one.client.drop();
    await eventually('the end of the socket', () => !existsSync(kept));
    assert.equal(readFileSync(replaced, 'utf8'), 'precious');
    assert.equal(statSync(`${moved}-away`).isSocket(), true);
  });

  test('links and folders of others: it is the user who is refused', async () => {
    const roots = mkdtempSync('/tmp/roots-');
    chmodSync(roots, 0o755);
    writeFileSync(path.join(roots, 'file'), 'x');
    symlinkSync(roots, path.join(folder, 'link'));
    for (const place of [
      path.join(roots, 'a'),
      path.join(folder, 'link', 'b'),
      path.join(folder, 'link', 'file'),
      path.join(folder, 'x'.repeat(108)),
      '',
    ]) {
      const outcome = await leader.client.listenUnix(place, 0o177, true);
      assert.equal(outcome.is, 'refused', place);
    }
    assert.deepEqual(readdirSync(roots), ['file']);
    await assert.rejects(leader.client.connectUnix(path.join(roots, 'a')), { code: 2 });
    await assert.rejects(leader.client.connectUnix('x'.repeat(108)), { code: 36 });
    rmSync(roots, { recursive: true });
  });

  test('with unlinkFirst a file, a socket, even a link of the user gives way, never what it leads to', async () => {
    const target = path.join(folder, 'target');
    const place = path.join(folder, 'way');
    writeFileSync(target, 'precious');
    symlinkSync(target, place);
    const made = await leader.client.listenUnix(place, 0o177, true);
    assert.ok(made.is === 'listening');
    made.descriptors.forEach(closeDescriptor);
    assert.equal(readFileSync(target, 'utf8'), 'precious');
    assert.equal(statSync(place).isSocket(), true);
    await leader.client.closeListener(made.listener);
  });

  /**
   * `d/x` is by turns a folder of the user's own and a link to the forbidden one: whatever a name leads
   * to when it is judged, it may lead elsewhere a moment later.
   */
  const flipping = async (act: (place: string, forbidden: string) => Promise<void>) => {
    const top = mkdtempSync(path.join(folder, 'flip-'));
    chmodSync(top, 0o755);
    const [forbidden, own] = [path.join(top, 'forbidden'), path.join(top, 'x')];
    const { uid, gid } = findUser('alice');
    for (const place of [forbidden, own]) {
      mkdirSync(place);
      chownSync(place, uid, gid);
    }
    symlinkSync(forbidden, path.join(top, 'link'));
    const script = [
      "const { renameSync: move, writeSync } = require('node:fs');",
      "writeSync(1, 'begun');",
      "for (;;) { move('x', 'own'); move('link', 'x'); move('x', 'link'); move('own', 'x'); }",
    ].join(' ');
    await using flipper = new Child(process.execPath, ['-e', script], { cwd: top });
    await eventually('the flipping begins', () => flipper.stdout === 'begun');
    await act(path.join(own, 's'), forbidden);
  };

  test('a socket that is not to be had is not had by changing what its name leads to', async () => {
    await flipping(async (place, forbidden) => {
      await using good = await startService();
      let reached = 0;
      await using bad = await startService(
        { path: path.join(forbidden, 's') },
        () => void reached++,
      );
      chmodSync(path.join(forbidden, 's'), 0o777);
      assert.ok(good.port > 0 && bad.port === 0);
      const codes = new Set<number>();
      for (let tries = 0; tries < 3000; tries++) {
        const outcome = await leader.client
          .connectUnix(place, forbidden)
          .catch((error: unknown) => {
            assert.ok(error instanceof CallFailure, String(error));
            codes.add(error.code);
          });
        if (typeof outcome === 'number') {
          closeDescriptor(outcome);
          assert.fail(`connected in try ${tries}`);
        }
      }
      // It was there to be had, and was seen.
      assert.ok(codes.has(EACCES), [...codes].join(' '));
      assert.equal(reached, 0);
      closeDescriptor(await leader.client.connectUnix(path.join(forbidden, 's')));
    });
  });

  test('nor is one made where none may be made', async () => {
    await flipping(async (place, forbidden) => {
      let made = 0;
      for (let tries = 0; tries < 2000; tries++) {
        const outcome = await leader.client.listenUnix(place, 0o177, true, forbidden);
        if (outcome.is === 'listening') {
          made++;
          outcome.descriptors.forEach(closeDescriptor);
          await leader.client.closeListener(outcome.listener);
        }
        assert.deepEqual(readdirSync(forbidden), [], `try ${tries}`);
      }
      assert.ok(made > 0, 'none was ever made');
    });
  });

  test('a second name of a socket does not make it another', async () => {
    const forbidden = mkdtempSync(path.join(folder, 'forbidden-'));
    chmodSync(forbidden, 0o755);
    const [inside, outside] = [path.join(forbidden, 's'), path.join(folder, 'second')];
    await using _bad = await startService({ path: inside });
    chmodSync(inside, 0o777);
    linkSync(inside, outside);
    await assert.rejects(leader.client.connectUnix(outside, forbidden), { code: EACCES });
    rmSync(inside);
    closeDescriptor(await leader.client.connectUnix(outside, forbidden));
  });
});
