/** What /proc says of every process of ARCHITECTURE.md §1. Runs in: test, in the lab. */
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { inLab, type LabUser, makeUser } from '../support/lab.ts';
import { makeRawKey, payload, RawSsh, str, u32, yes } from '../support/raw-ssh.ts';
import {
  openDescriptors,
  type ProcessEntry,
  readProcFile,
  serverKind,
  startServer,
  type TestServer,
} from '../support/server.ts';

const lab = inLab(import.meta.url);
const key = makeRawKey();
const secretInEnvironment = 'canary-in-the-daemon-environment';

const status = (pid: number, field: string): string =>
  new RegExp(`^${field}:[ \\t]*(.*)$`, 'm').exec(readProcFile(pid, 'status'))?.[1]?.trim() ?? '';
const namespaceOf = (pid: number, kind: string): string => readlinkSync(`/proc/${pid}/ns/${kind}`);
const noCapabilities = '0000000000000000';

describe('the processes of the server', {
  ...lab,
  skip: lab.skip !== false ? lab.skip : serverKind === 'sshd' ? 'sshd has others' : false,
}, () => {
  let server: TestServer;
  let alice: LabUser;
  let client: RawSsh;
  let all: readonly ProcessEntry[] = [];
  const find = (pattern: RegExp): readonly ProcessEntry[] =>
    all.filter((entry) => pattern.test(entry.title));
  const only = (pattern: RegExp): ProcessEntry => {
    const found = find(pattern);
    assert.equal(found.length, 1, `${pattern}: ${found.map((entry) => entry.title)}`);
    return found[0] as ProcessEntry;
  };

  before(async () => {
    alice = makeUser('alice', { groups: ['games'], authorizedKeys: [key.line] });
    server = await startServer({
      config: ['UsePAM yes'],
      environment: {
        SECRET_OF_INIT: secretInEnvironment,
        NODE_OPTIONS: '--title=spoiled',
        LD_LIBRARY_PATH: '/nowhere-spoiled',
      },
    });
    client = await RawSsh.loggedIn(server.port, 'alice', key);
    const channel = await client.openSession();
    client.send(payload(98, u32(channel), str('exec'), yes, str('exec sleep 60')));
    await client.nextOf(99);
    all = server.processes();
  });
  after(async () => {
    client?.close();
    await server?.stop();
  });

  test('are one monitor, one zygote, two workers at least, a leader of the user', () => {
    only(/^sshdesk: monitor/);
    only(/^sshdesk: zygote/);
    only(/^sshdesk: leader alice/);
    assert.ok(find(/^sshdesk: worker \d+/).length >= 2);
    only(/^sleep 60/);
    assert.deepEqual(
      all.filter(
        (entry) => !/^(sshdesk: (monitor|zygote|worker|leader)|sleep 60)/.test(entry.title),
      ),
      [],
    );
  });

  test('monitor, zygote and leader are root; the leader has given nothing away', () => {
    for (const pattern of [/monitor/, /zygote/, /leader alice/]) {
      const { pid, title } = only(new RegExp(`^sshdesk: ${pattern.source}`));
      assert.equal(status(pid, 'Uid').split('\t')[0], '0', title);
    }
  });

  test('a worker is the system user, without groups, capabilities and ways back', () => {
    for (const { pid, title } of find(/^sshdesk: worker/)) {
      const owner = /^sshdesk:x:(\d+):(\d+):/m.exec(readProcFile(pid, 'root/etc/passwd')) ?? [];
      const uids = status(pid, 'Uid').split('\t');
      assert.equal(new Set(uids).size, 1, title);
      assert.notEqual(uids[0], '0');
      assert.notEqual(uids[0], String(alice.uid));
      if (owner[1] !== undefined) {
        assert.equal(uids[0], owner[1]);
      }
      const gids = status(pid, 'Gid').split('\t');
      assert.equal(new Set(gids).size, 1);
      assert.notEqual(gids[0], '0');
      assert.equal(status(pid, 'Groups'), '');
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
        assert.equal(status(pid, set), noCapabilities, `${title}: ${set}`);
      }
      assert.equal(status(pid, 'NoNewPrivs'), '1');
      assert.equal(status(pid, 'Seccomp'), '2');
    }
  });

  test('every thread of a worker is under the filter and without capabilities', () => {
    for (const { pid, title } of find(/^sshdesk: worker/)) {
      const threads = readdirSync(`/proc/${pid}/task`);
      assert.ok(threads.length > 1, 'Node has threads');
      for (const thread of threads) {
        const text = readProcFile(pid, `task/${thread}/status`);
        assert.match(text, /^Seccomp:\s*2$/m, `${title}, thread ${thread}`);
        assert.match(text, /^NoNewPrivs:\s*1$/m);
        assert.match(text, new RegExp(`^CapEff:\\s*${noCapabilities}$`, 'm'));
      }
    }
  });

  test('a worker has a network of its own, with nothing in it, and mounts of its own', () => {
    const monitor = only(/^sshdesk: monitor/).pid;
    for (const { pid } of find(/^sshdesk: worker/)) {
      assert.notEqual(namespaceOf(pid, 'net'), namespaceOf(monitor, 'net'));
      assert.notEqual(namespaceOf(pid, 'mnt'), namespaceOf(monitor, 'mnt'));
      const interfaces = readProcFile(pid, 'net/dev').split('\n').slice(2).filter(Boolean);
      assert.deepEqual(
        interfaces.map((line) => line.split(':')[0]?.trim()),
        ['lo'],
      );
      assert.equal(readProcFile(pid, 'net/route').trim().split('\n').length, 1);
      const places = readdirSync(`/proc/${pid}/root`);
      for (const place of ['home', 'root', 'tmp', 'run']) {
        if (places.includes(place)) {
          const inside = readdirSync(`/proc/${pid}/root/${place}`, { recursive: true });
          assert.ok(
            !inside.some((name) => /alice|\.ssh|server-/.test(String(name))),
            `${place} shows ${inside.slice(0, 5)}`,
          );
        }
      }
      for (const file of ['etc/shadow', 'etc/passwd', 'etc/ssh/sshd_config']) {
        assert.throws(() => statSync(`/proc/${pid}/root/${file}`), /ENOENT/, file);
      }
    }
  });

  test('a worker cannot be looked into by another of its user: not dumpable', () => {
    for (const { pid, title } of find(/^sshdesk: worker/)) {
      // Files of a process that is not dumpable belong to root.
      assert.equal(statSync(`/proc/${pid}/environ`).uid, 0, title);
      assert.equal(statSync(`/proc/${pid}/fd`).uid, 0, title);
    }
  });

  test('no core: of none of them', () => {
    for (const { pid, title } of find(/^sshdesk: worker/)) {
      assert.match(readProcFile(pid, 'limits'), /^Max core file size\s+0\s+0\s/m, title);
    }
  });

  test('a worker’s environment holds nothing of the daemon’s', () => {
    for (const { pid, title } of find(/^sshdesk: worker/)) {
      const environment = readProcFile(pid, 'environ').split('\0').filter(Boolean);
      for (const entry of environment) {
        assert.doesNotMatch(entry, /canary|NODE_OPTIONS|spoiled|LD_|HOME=/, title);
      }
    }
  });

  test('nothing of the daemon’s environment reaches the user', () => {
    const { pid } = only(/^sleep 60/);
    assert.doesNotMatch(readProcFile(pid, 'environ'), /canary|NODE_OPTIONS|spoiled/);
  });

  test('no secret in any argument', () => {
    for (const { title } of all) {
      assert.doesNotMatch(title, /canary|ssh-ed25519|PRIVATE/);
    }
  });

  test('a worker holds links, pipes and the sockets of its connections, and no file', () => {
    for (const { pid, title } of find(/^sshdesk: worker/)) {
      for (const line of openDescriptors(pid)) {
        // 2 is the daemon's own stderr, for what Node has to say when it dies.
        assert.match(
          line,
          /^2 \/tmp\/server-\w+\/log$|^\d+ (socket:\[\d+\]|pipe:\[\d+\]|anon_inode:\[?(eventpoll|eventfd|timerfd|io_uring)\]?|\/dev\/null|\/dev\/urandom)$/,
          title,
        );
      }
    }
  });

  test('a leader holds its links; none to the network', () => {
    const { pid } = only(/^sshdesk: leader alice/);
    const sockets = openDescriptors(pid).filter((line) => line.includes('socket:'));
    const inodes = sockets.map((line) => /\[(\d+)\]/.exec(line)?.[1] as string);
    const tcp = readProcFile(pid, 'net/tcp') + readProcFile(pid, 'net/tcp6');
    for (const inode of inodes) {
      assert.ok(!tcp.includes(` ${inode} `), 'a TCP socket in a leader');
    }
  });

  test('the zygote holds no host key, connection or store', () => {
    const { pid } = only(/^sshdesk: zygote/);
    for (const line of openDescriptors(pid)) {
      assert.match(
        line,
        /^\d+ (socket:\[\d+\]|pipe:\[\d+\]|\/dev\/null|\/tmp\/server-\w+\/log|anon_inode:\[?\w+\]?)$/,
      );
    }
  });

  test('the monitor does not keep the socket of a connection that has logged in', () => {
    const { pid } = only(/^sshdesk: monitor/);
    const established = readProcFile(pid, 'net/tcp')
      .split('\n')
      .filter((line) => / 01 /.test(line))
      .map((line) => line.trim().split(/\s+/)[9]);
    const held = openDescriptors(pid)
      .map((line) => /socket:\[(\d+)\]/.exec(line)?.[1])
      .filter((inode) => inode !== undefined && established.includes(inode));
    assert.deepEqual(held, []);
  });

  test('the user’s process is the user’s, with all of the groups and no capability', () => {
    const { pid } = only(/^sleep 60/);
    assert.deepEqual(
      status(pid, 'Uid').split('\t'),
      Array.from({ length: 4 }, () => String(alice.uid)),
    );
    assert.deepEqual(
      status(pid, 'Gid').split('\t'),
      Array.from({ length: 4 }, () => String(alice.gid)),
    );
    assert.deepEqual(
      status(pid, 'Groups')
        .split(' ')
        .map(Number)
        .sort((a, b) => a - b),
      [60, alice.gid],
    );
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) {
      assert.equal(status(pid, set), noCapabilities);
    }
    assert.equal(status(pid, 'SigIgn'), '0000000000000000');
    assert.equal(status(pid, 'SigBlk'), '0000000000000000');
    assert.equal(status(pid, 'Seccomp'), '0');
    assert.equal(status(pid, 'NoNewPrivs'), '0');
    assert.deepEqual(
      openDescriptors(pid).map((line) => line.replace(/\d+\]/, ']')),
      ['0 pipe:[]', '1 pipe:[]', '2 pipe:[]'],
    );
    assert.equal(namespaceOf(pid, 'net'), namespaceOf(server.pid, 'net'));
    assert.equal(namespaceOf(pid, 'mnt'), namespaceOf(server.pid, 'mnt'));
  });

  test('nothing listens on TCP but the one port', () => {
    const listening = readProcFile(server.pid, 'net/tcp')
      .split('\n')
      .filter((line) => / 0A /.test(line))
      .map((line) => Number.parseInt(/:([0-9A-F]{4}) /.exec(line)?.[1] as string, 16));
    assert.deepEqual(listening, [server.port]);
    assert.equal(readProcFile(server.pid, 'net/udp').trim().split('\n').length, 1);
  });
});
