/** The seccomp filter and the dumpable flag, tried from inside a process that put them up. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';

const folder = mkdtempSync(join(tmpdir(), 'sshdesk-confine-'));
after(() => rmSync(folder, { recursive: true }));

const EPERM = -1;
const ENOSYS = -38;

const mustBeRefused = [
  ...['execve', 'execveat', 'ptrace', 'process_vm_readv', 'process_vm_writev', 'kcmp', 'tkill'],
  ...['tgkill', 'rt_sigqueueinfo', 'rt_tgsigqueueinfo', 'pidfd_open', 'pidfd_getfd'],
  ...['pidfd_send_signal', 'process_madvise', 'socket', 'socketpair', 'connect', 'bind', 'listen'],
  ...['unshare', 'setns', 'mount', 'umount2', 'pivot_root', 'chroot', 'open_tree', 'move_mount'],
  ...['fsopen', 'fsconfig', 'fsmount', 'fspick', 'mount_setattr', 'open_by_handle_at'],
  ...['name_to_handle_at', 'mknodat', 'setuid', 'setgid', 'setreuid', 'setregid', 'setresuid'],
  ...['setresgid', 'setfsuid', 'setfsgid', 'setgroups', 'capset', 'io_uring_setup'],
  ...['io_uring_enter', 'io_uring_register', 'bpf', 'perf_event_open', 'keyctl', 'add_key'],
  ...['request_key', 'userfaultfd', 'kexec_load', 'init_module', 'finit_module', 'personality'],
  ...['shmget', 'msgget', 'semget', 'mq_open', 'kill', 'prlimit64'],
  ...['setpriority', 'ioprio_set', 'sched_setaffinity', 'sched_setscheduler', 'sched_setparam'],
  ...['sched_setattr'],
];
const byArgument = ['ioctl', 'fcntl', 'sendto', 'sendmsg', 'sendmmsg'];
const needed = [
  ...[...mustBeRefused, ...byArgument],
  ...['prctl', 'clone', 'clone3', 'getpid', 'setsockopt'],
];

/** Python: io_uring_setup (425 on both architectures) says ENOSYS from here on, as under the zygote. */
const withoutRings = `
lines = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050026), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *line) for line in lines))
program = struct.pack('HxxxxxxP', len(lines), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0`;

let seen: Record<string, unknown> & { calls: Record<string, number> };

function compile(arguments_: string[], input = ''): string {
  const result = spawnSync('cc', arguments_, { input, encoding: 'utf8' });
  assert.equal(result.status, 0, result.stderr);
  return result.stdout;
}

before(async () => {
  const headers = join(dirname(process.execPath), '../include/node');
  const addon = join(folder, 'syscall.node');
  const source = fileURLToPath(new URL('../../../support/syscall.c', import.meta.url));
  compile(['-shared', '-fPIC', '-D_GNU_SOURCE', '-I', headers, '-o', addon, source]);
  const probe = join(folder, 'numbers');
  compile(
    ['-x', 'c', '-o', probe, '-'],
    `#include <stdio.h>\n#include <sys/syscall.h>\nint main(void) {\n${needed
      .map((name) => `printf("${name} %d\\n", (int)SYS_${name});`)
      .join('\n')}\n}`,
  );
  const numbers = Object.fromEntries(
    spawnSync(probe, { encoding: 'utf8' })
      .stdout.trim()
      .split('\n')
      .map((line) => line.split(' '))
      .map(([name, number]) => [name, Number(number)]),
  ) as Record<string, number>;
  if (process.arch === 'x64') {
    numbers.x32Bit = 0x40000000;
  }

  const server = createServer((socket) => socket.pipe(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  // The shell-less way to hand over a connected socket: a child that connects and executes node.
  const handOver = `
import ctypes, os, socket, struct, sys
${withoutRings}
s = socket.create_connection(('127.0.0.1', ${port}))
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.execv(sys.argv[1], sys.argv[1:])`;
  const script = fileURLToPath(new URL('../../../support/confined-child.ts', import.meta.url));
  const child = spawn(
    'python3',
    ['-c', handOver, process.execPath, script, addon, JSON.stringify(numbers)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  const [code, signal] = await once(child, 'close');
  server.close();
  assert.deepEqual([code, signal], [0, null]);
  seen = JSON.parse(output);
});

for (const name of mustBeRefused) {
  test(`${name} is refused`, () => {
    assert.equal(seen.calls[name], EPERM);
  });
}

test('signals to others by way of a descriptor, line disciplines, and connecting by sending', () => {
  const EBADF = -9;
  assert.deepEqual(seen.byArgument, {
    setOwn: EPERM,
    setSignal: EPERM,
    setOwnEx: EPERM,
    getFlags: EBADF,
    lineDiscipline: EPERM,
    ioctlOwner: EPERM,
    socketGroup: EPERM,
    windowSize: EBADF,
    fastOpenTo: EPERM,
    fastOpenMessage: EPERM,
    fastOpenMessages: EPERM,
    send: EBADF,
    sendMessage: EBADF,
  });
});

test('a process that holds an io_uring is not confined: it fails with EBUSY or has none', () => {
  const module = import.meta.resolve('../../../../src/base/confine.native.ts');
  const script = `
    import { readdirSync, readlinkSync } from 'node:fs';
    import { installSeccomp } from '${module}';
    const links = readdirSync('/proc/self/fd').map((fd) => { try { return readlinkSync('/proc/self/fd/' + fd); } catch { return ''; } });
    const hasRing = links.includes('anon_inode:[io_uring]');
    let refused = false;
    try { installSeccomp(); } catch (error) { refused = /EBUSY/.test(error.message); }
    process.exitCode = refused === hasRing ? 0 : 1;`;
  const result = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, UV_USE_IO_URING: '1' },
  });
  assert.equal(result.status, 0, result.stderr);
});

test('the filter is on, without new privileges', () => {
  assert.equal(seen.seccomp, '2');
  assert.equal(seen.noNewPrivs, '1');
});

test('clone3 says ENOSYS, so that threads are made with flags that can be read', () => {
  assert.equal(seen.calls.clone3, ENOSYS);
  assert.equal(seen.forkByClone, EPERM);
});

test('the x32 table is no way round', { skip: process.arch !== 'x64' }, () => {
  assert.equal(seen.calls.x32Bit, EPERM);
});

test('it is not dumpable and cannot become so again', () => {
  assert.equal(seen.dumpable, 0);
  assert.equal(seen.dumpableAgain, EPERM);
  assert.equal(seen.dumpableHigh, EPERM);
  assert.equal(seen.dumpableOff, 0);
  assert.equal(seen.tracer, EPERM);
});

test('signals and limits reach itself only', () => {
  assert.equal(seen.killSelf, 0);
  assert.equal(seen.killParent, EPERM);
  assert.equal(seen.ownLimit, 0);
});

test('a socket cannot be made to linger, which would stop the monitor that closes it', () => {
  assert.equal(seen.linger, EPERM);
  // Other options get as far as the kernel, which misses the socket or the value.
  assert.ok(seen.noDelay !== EPERM && seen.keepAlive !== EPERM);
});

test('node cannot spawn, connect, listen or bind', () => {
  assert.equal(seen.spawn, 'refused');
  for (const what of ['connect', 'listen', 'datagram']) {
    assert.equal(seen[what], 'EPERM', what);
  }
});

test('node goes on: passed sockets, threads, the pool of zlib and crypto, timers', () => {
  assert.equal(seen.echo, 'over the passed socket');
  assert.equal(seen.zlib, true);
  assert.equal(seen.key, 32);
  assert.equal(seen.thread, 'allowed');
  assert.ok((seen.sleptMs as number) >= 19);
});
