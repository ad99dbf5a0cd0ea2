/**
 * The zygote: leaders, ports, and what a confined worker can still see and do.
 * Runs in: test, as root in the lab.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { SeqpacketLink } from '../../src/base/link.native.ts';
import { CallFailure } from '../../src/ssh/wire/peer.ts';
import { inLab, makeUser, run } from '../support/lab.ts';
import { begin, isAlive, statusOf, until, ZygoteDriver } from '../support/leader-driver.ts';
import type { WorkerOrder } from '../../src/process/zygote.ts';

const lab = inLab(import.meta.url);
const workerUid = 64_123;

const isErrno = (code: number) => (error: unknown) =>
  error instanceof CallFailure && error.code === code;
const [EPERM, ESRCH, EINVAL, EADDRINUSE, ENOENT] = [1, 3, 22, 98, 2] as const;

describe('the zygote', lab, () => {
  let driver: ZygoteDriver;

  before(() => {
    makeUser('alice');
    driver = new ZygoteDriver();
  });
  after(() => driver.close());

  test('binds a port and hands over a listener that works', async () => {
    const { descriptor, port } = await driver.zygote.bind('127.0.0.1', 0);
    assert.ok(port > 0);
    await assert.rejects(driver.zygote.bind('127.0.0.1', port), isErrno(EADDRINUSE));
    const server = createServer().listen({ fd: descriptor });
    await once(server, 'listening');
    server.close();
    const six = await driver.zygote.bind('::1', 0);
    const listener = createServer().listen({ fd: six.descriptor });
    await once(listener, 'listening');
    listener.close();
    await assert.rejects(
      driver.zygote.bind('localhost', 0),
      isErrno(EINVAL),
      'names are not resolved',
    );
    await assert.rejects(driver.zygote.bind('127.0.0.1', 70_000), isErrno(EINVAL));
  });

  test('holds the modules of every login for its leaders, and no thread of them', async () => {
    const mapped = (pid: number): ReadonlySet<string> =>
      new Set(
        readFileSync(`/proc/${pid}/maps`, 'latin1')
          .split('\n')
          .map((line) => line.split('/').at(-1) ?? ''),
      );
    const { pid } = driver.zygote;
    // A fork waits until it has started.
    const leader = await driver.fork();
    assert.ok(mapped(pid).has('pam_unix.so'));
    assert.ok(!mapped(pid).has('pam_exec.so'), 'only those of the list');
    assert.match(readFileSync(`/proc/${pid}/status`, 'latin1'), /^Threads:\t1$/m);
    assert.ok(mapped(leader.client.pid).has('pam_unix.so'));
    await leader.client.end(0);
  });

  test('tells of the end of a leader, once, and kills only its own', async () => {
    const leader = await driver.fork();
    const ended = Promise.withResolvers<number>();
    driver.zygote.watch(leader.client.pid, ended.resolve);
    await driver.zygote.kill(leader.client.pid, 9);
    assert.equal(await ended.promise, 9);
    await assert.rejects(driver.zygote.kill(leader.client.pid, 9), isErrno(ESRCH));
    await assert.rejects(driver.zygote.kill(process.pid, 0), isErrno(ESRCH));
  });

  test('leaves its leaders alone when it ends with its link', async () => {
    const other = new ZygoteDriver();
    const leader = await other.fork();
    await begin(leader.client, 'alice');
    const { pid } = other.zygote;
    other.zygote.close();
    await until(() => !isAlive(pid), 'the zygote has gone');
    assert.ok(isAlive(leader.client.pid));
    await leader.client.end(0);
    await until(() => !isAlive(leader.client.pid), 'the leader has gone');
  });

  test('does not hand its own descriptors to a leader', async () => {
    const leader = await driver.fork();
    await begin(leader.client, 'alice'); // it is up
    // Its standard streams, its link, and the pipe that wakes it.
    const open = run('ls', [`/proc/${leader.client.pid}/fd`])
      .trim()
      .split('\n');
    assert.deepEqual(open, ['0', '1', '2', '3', '4', '5']);
    const links = [leader.client.pid, driver.zygote.pid].map((pid) =>
      readlinkSync(`/proc/${pid}/fd/3`),
    );
    assert.notEqual(links[0], links[1]);
    await leader.client.end(0);
  });

  describe('starts a worker that', () => {
    function workerOrder(script: string, change: Partial<WorkerOrder> = {}): WorkerOrder {
      return {
        arguments: ['/bin/true', script],
        environment: ['ONLY=this'],
        readOnly: ['/root/app'],
        directory: '/root/app',
        uid: workerUid,
        gid: workerUid,
        relaxed: false,
        ...change,
      };
    }

    before(() => {
      // An application below a directory that only root may enter, as a checkout in a 0700 home.
      mkdirSync('/root/app/deep', { recursive: true });
      writeFileSync('/root/app/deep/file', 'content');
      mkdirSync('/root/other');
      chmodSync('/root', 0o700);
    });

    /** Runs a Python program as a worker; what it sends over its link. */
    async function inWorker(script: string, change: Partial<WorkerOrder> = {}) {
      const about = 'import sys; print(sys.base_prefix, "%d.%d" % sys.version_info[:2])';
      const [prefix, version] = run('python3', ['-c', about]).trim().split(' ') as [string, string];
      const file = `${prefix}/bin/python${version}`;
      const head = 'import os,socket,json,errno,sys\nlink=socket.socket(fileno=3)\n';
      const started = await driver.zygote.startWorker({
        ...workerOrder(''),
        readOnly: ['/root/app', prefix],
        ...change,
        arguments: [file, '-I', '-S', '-c', head + script],
      });
      const link = new SeqpacketLink(started.peerDescriptor);
      const said = Promise.withResolvers<unknown>();
      link.onFrame = (frame) => said.resolve(JSON.parse(frame.toString('utf8')));
      link.onEnd = () => said.reject(new Error('the worker ended without a word'));
      try {
        return { ...started, link, said: (await said.promise) as Record<string, unknown> };
      } catch (error) {
        link.close();
        throw error;
      }
    }

    test("has no ids, no capability, no way back, no core, and nobody else's descriptors", async () => {
      const script = `
link.send(json.dumps({'uid':os.getresuid(),'gid':os.getresgid(),'groups':os.getgroups(),'env':dict(os.environ)}).encode())
link.recv(1)`;
      const { pid, said, link, skipped } = await inWorker(script);
      assert.deepEqual(skipped, []);
      assert.deepEqual(said.uid, [workerUid, workerUid, workerUid]);
      assert.deepEqual(said.gid, [workerUid, workerUid, workerUid]);
      assert.deepEqual(said.groups, []);
      assert.equal((said.env as { ONLY: string }).ONLY, 'this');
      assert.ok(!('PATH' in (said.env as object)));
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
        assert.match(statusOf(pid, set) ?? '', /^0+$/, set);
      }
      assert.equal(statusOf(pid, 'NoNewPrivs'), '1');
      assert.match(readFileSync(`/proc/${pid}/limits`, 'utf8'), /^Max core file size\s+0\s+0/m);
      const open = run('ls', [`/proc/${pid}/fd`])
        .trim()
        .split('\n');
      assert.deepEqual(open, ['0', '1', '2', '3']);
      assert.equal(readlinkSync(`/proc/${pid}/fd/0`), '/dev/null');
      assert.equal(readlinkSync(`/proc/${pid}/fd/1`), '/dev/null');
      link.close();
      await until(() => !isAlive(pid), 'the worker ends with its link');
    });

    test('is in namespaces of its own, with no network but a loopback that is down', async () => {
      const script = `
try:
  socket.create_connection(('127.0.0.1',22),1); error=0
except OSError as e: error=e.errno
link.send(json.dumps({'error':error,'interfaces':[n for _,n in socket.if_nameindex()]}).encode())
link.recv(1)`;
      const { pid, said, link } = await inWorker(script);
      assert.deepEqual(said, { error: 101, interfaces: ['lo'] });
      for (const name of ['net', 'mnt', 'ipc']) {
        const own = readlinkSync(`/proc/self/ns/${name}`);
        assert.notEqual(readlinkSync(`/proc/${pid}/ns/${name}`), own, name);
      }
      link.close();
    });

    test('sees its own directories and libraries only, and can write nowhere', async () => {
      const script = `
def attempt(what):
  try: what(); return 0
  except OSError as e: return e.errno
def write(path):
  return attempt(lambda: os.close(os.open(path, os.O_WRONLY|os.O_CREAT)))
link.send(json.dumps({
 'cwd':os.getcwd(),
 'file':open('/root/app/deep/file').read(),
 'root':sorted(os.listdir('/')),
 'home':sorted(os.listdir('/root')),
 'dev':sorted(os.listdir('/dev')),
 'random':len(open('/dev/urandom','rb').read(8)),
 'shadow':attempt(lambda: open('/etc/shadow')),
 'proc':attempt(lambda: os.listdir('/proc')),
 'writes':[write('/x'),write('/root/x'),write('/root/app/x'),write('/usr/lib/x'),write('/dev/x')],
 'null':write('/dev/null'),
}).encode())
link.recv(1)`;
      const { said, link } = await inWorker(script);
      assert.equal(said.file, 'content');
      assert.equal(said.cwd, '/root/app');
      assert.ok(!(said.home as string[]).includes('other'));
      // `opt` and `home`: where this machine's Python may be.
      const allowed = new Set(['dev', 'lib', 'lib64', 'root', 'usr', 'opt', 'home']);
      assert.deepEqual(
        (said.root as string[]).filter((name) => !allowed.has(name)),
        [],
      );
      assert.deepEqual(said.dev, ['null', 'random', 'urandom']);
      assert.equal(said.random, 8);
      assert.deepEqual([said.shadow, said.proc], [ENOENT, ENOENT]);
      const EROFS = 30;
      for (const error of said.writes as number[]) {
        assert.ok(error === EROFS || error === 13, String(error));
      }
      assert.equal(said.null, 0);
      link.close();
    });

    test("cannot be one of root's", async () => {
      await assert.rejects(inWorker('', { uid: 0, gid: 0 }), isErrno(EPERM));
      await assert.rejects(inWorker('', { gid: 0 }), isErrno(EPERM));
    });

    test('cannot be given the whole file system', async () => {
      await assert.rejects(inWorker('', { readOnly: ['/'] }), isErrno(EINVAL));
      await assert.rejects(inWorker('', { readOnly: ['app'] }), isErrno(EINVAL));
    });

    test('or says which step failed, and is no worker then', async () => {
      await assert.rejects(
        driver.zygote.startWorker(workerOrder('', { readOnly: ['/no/such/place'] })),
        (error) =>
          isErrno(ENOENT)(error) &&
          /root directory \(\/no\/such\/place\): No such/.test((error as Error).message),
      );
      await assert.rejects(
        driver.zygote.startWorker(
          workerOrder('', { arguments: ['/root/app/deep/file'], readOnly: ['/root/app'] }),
        ),
        /deep\/file: Permission denied/,
      );
    });

    test('starts with a step less where that is allowed, and the step is named', async () => {
      const script = `link.send(json.dumps({'shadow':os.path.exists('/etc/shadow')}).encode())\nlink.recv(1)`;
      const { skipped, said, link, pid } = await inWorker(script, {
        readOnly: ['/no/such/place'],
        relaxed: true,
        directory: '/',
      });
      assert.equal(skipped.length, 1);
      assert.match(skipped[0] as string, /root directory \(\/no\/such\/place\): No such file/);
      assert.equal(said.shadow, true);
      assert.equal(statusOf(pid, 'Uid'), Array(4).fill(workerUid).join(' '));
      link.close();
    });
  });
});
