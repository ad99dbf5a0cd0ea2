/**
 * Run by the test of `base/confine.native.ts` in a process of its own: puts the fences up, tries
 * what must fail and what must go on, and prints one JSON object. argv: raw system call addon.
 * Descriptors: 3 a connected TCP socket whose other end echoes.
 */
import { spawnSync } from 'node:child_process';
import { pbkdf2, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect, createServer, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { deflate, inflate } from 'node:zlib';
import { installSeccomp, setNotDumpable } from '../../src/base/confine.native.ts';
import { PtyMaster } from '../../src/base/pty.native.ts';

const raw = createRequire(import.meta.url)(process.argv[2] as string) as {
  syscall(...values: number[]): number;
};
const numbers = JSON.parse(process.argv[3] as string) as Record<string, number>;
const fastOpen = 0x2000_0000;
const before = numbers.x32Bit === undefined ? 0 : raw.syscall(39 + numbers.x32Bit);

setNotDumpable();
installSeccomp();

const calls: Record<string, number> = {};
for (const [name, number] of Object.entries(numbers)) {
  calls[name] = raw.syscall(name === 'x32Bit' ? 39 + number : number, -1, 0, 0, 0, 0, 0);
}
const prctl = numbers.prctl as number;
const codeOf = async (run: () => unknown): Promise<string> => {
  try {
    await run();
    return 'allowed';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
};
const status = readFileSync('/proc/self/status', 'utf8');
const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1];

const socket = new Socket({ fd: 3, readable: true, writable: true });
socket.write('over the passed socket');
const echo = String(
  await new Promise((resolve, reject) => socket.on('data', resolve).on('error', reject)),
);
socket.destroy();
const bytes = randomBytes(1 << 20);
const [inflated, key] = await Promise.all([
  promisify(deflate)(bytes).then((packed) => promisify(inflate)(packed)),
  promisify(pbkdf2)('secret', 'salt', 1000, 32, 'sha256'),
]);
const began = performance.now();
await sleep(20);

process.stdout.write(
  JSON.stringify({
    calls,
    before,
    seccomp: field('Seccomp'),
    noNewPrivs: field('NoNewPrivs'),
    dumpable: raw.syscall(prctl, 3),
    dumpableAgain: raw.syscall(prctl, 4, 1),
    dumpableHigh: raw.syscall(prctl, 4, 2 ** 32),
    dumpableOff: raw.syscall(prctl, 4, 0),
    tracer: raw.syscall(prctl, 0x59616d61, 1),
    killSelf: raw.syscall(numbers.kill as number, process.pid, 0),
    killParent: raw.syscall(numbers.kill as number, process.ppid, 0),
    forkByClone: raw.syscall(numbers.clone as number, 17, 0, 0, 0, 0),
    linger: raw.syscall(numbers.setsockopt as number, 3, 1, 13, 0, 0),
    noDelay: raw.syscall(numbers.setsockopt as number, 3, 6, 1, 0, 0),
    keepAlive: raw.syscall(numbers.setsockopt as number, 3, 1, 9, 0, 0),
    ownLimit: raw.syscall(numbers.prlimit64 as number, 0, 7, 0, 0),
    byArgument: {
      setOwn: raw.syscall(numbers.fcntl as number, -1, 8, process.ppid),
      setSignal: raw.syscall(numbers.fcntl as number, -1, 10, 9),
      setOwnEx: raw.syscall(numbers.fcntl as number, -1, 15, 0),
      getFlags: raw.syscall(numbers.fcntl as number, -1, 3, 0),
      lineDiscipline: raw.syscall(numbers.ioctl as number, -1, 0x5423, 0),
      ioctlOwner: raw.syscall(numbers.ioctl as number, -1, 0x8901, 0),
      socketGroup: raw.syscall(numbers.ioctl as number, -1, 0x8902, 0),
      windowSize: raw.syscall(numbers.ioctl as number, -1, 0x5413, 0),
      fastOpenTo: raw.syscall(numbers.sendto as number, -1, 0, 0, fastOpen, 0, 0),
      fastOpenMessage: raw.syscall(numbers.sendmsg as number, -1, 0, fastOpen),
      fastOpenMessages: raw.syscall(numbers.sendmmsg as number, -1, 0, 0, fastOpen),
      send: raw.syscall(numbers.sendto as number, -1, 0, 0, 0, 0, 0),
      sendMessage: raw.syscall(numbers.sendmsg as number, -1, 0, 0),
    },
    spawn: spawnSync('/bin/true').error === undefined ? 'allowed' : 'refused',
    connect: await codeOf(
      () =>
        new Promise((resolve, reject) =>
          connect(9, '127.0.0.1').on('connect', resolve).on('error', reject),
        ),
    ),
    listen: await codeOf(
      () =>
        new Promise<void>((resolve, reject) =>
          createServer()
            .on('error', reject)
            .listen(0, '127.0.0.1', () => resolve()),
        ),
    ),
    datagram: await codeOf(
      () =>
        new Promise<void>((resolve, reject) =>
          createSocket('udp4')
            .on('error', reject)
            .bind(0, '127.0.0.1', () => resolve()),
        ),
    ),
    thread: await codeOf(
      () =>
        new Promise((resolve, reject) =>
          new Worker('', { eval: true }).on('exit', resolve).on('error', reject),
        ),
    ),
    pty: typeof PtyMaster,
    echo,
    zlib: inflated.equals(bytes),
    key: key.length,
    sleptMs: performance.now() - began,
  }),
);
