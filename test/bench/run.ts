/**
 * npm run bench [-- --only NAME[,NAME…] --pairs N --logins N]: sshdesk beside Debian's sshd, in
 * alternated pairs in one run: same client, cipher, user, key, PAM stack. Prints medians with the
 * ratio and writes results.json. Names: bulk, login, idle, desktop. Runs in: test, in the lab.
 *
 * The time of a transfer is that of `ssh host cat FILE` less the median time of `ssh host true` of
 * the same server, so that a slow login does not count as a slow transfer.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { checkout, inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { firstPicture } from '../support/rfb-client.ts';
import {
  processTree,
  readProcFile,
  type ServerKind,
  serverKind,
  startServer,
  type TestServer,
} from '../support/server.ts';
import { sshArguments } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);
if (lab.skip !== false) {
  throw new Error(lab.skip);
}
const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    pairs: { type: 'string', default: '7' },
    logins: { type: 'string', default: '200' },
  },
});
const only = values.only?.split(',');
const pairs = Number(values.pairs);
const idleLogins = Number(values.logins);

interface Row {
  readonly name: string;
  readonly unit: string;
  readonly ours: number;
  readonly sshd: number | undefined;
  /** ours / sshd, or for `less is better` the same; `wanted` says which way. */
  readonly ratio: number | undefined;
  readonly wanted: string;
  readonly samples: Readonly<Record<string, readonly number[]>>;
}

const rows: Row[] = [];
const began = Date.now();
const median = (samples: readonly number[]): number => {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
};
const wants = (name: string): boolean => only === undefined || only.includes(name);

function record(
  name: string,
  unit: string,
  wanted: string,
  ours: readonly number[],
  sshd: readonly number[] | undefined,
): void {
  const row: Row = {
    name,
    unit,
    ours: median(ours),
    sshd: sshd === undefined ? undefined : median(sshd),
    ratio: sshd === undefined ? undefined : median(ours) / median(sshd),
    wanted,
    samples: { ours, ...(sshd === undefined ? {} : { sshd }) },
  };
  rows.push(row);
  writeResults();
  const number = (value: number | undefined) =>
    (value === undefined ? '-' : value.toFixed(value < 10 ? 2 : 1)).padStart(10);
  console.log(
    `${name.padEnd(34)} ${unit.padEnd(10)} ${number(row.ours)} ${number(row.sshd)} ${number(row.ratio)}  ${wanted}`,
  );
}

/** After each row, so that a run that breaks off keeps what it has. */
function writeResults(): void {
  const kernel = readFileSync('/proc/version', 'latin1').split(' ').slice(0, 3).join(' ');
  const results = {
    at: new Date().toISOString(),
    kernel,
    node: process.version,
    server: serverKind,
    pairs,
    seconds: Math.round((Date.now() - began) / 1000),
    rows,
  };
  writeFileSync(
    path.join(import.meta.dirname, 'results.json'),
    `${JSON.stringify(results, null, 2)}\n`,
  );
}

// PasswordAuthentication and the rest as Debian's file has them.
const config = [
  'UsePAM yes',
  'KbdInteractiveAuthentication no',
  'MaxStartups 500',
  'X11Forwarding yes',
  'PrintMotd no',
  'AcceptEnv LANG LC_*',
  'Subsystem sftp /usr/lib/openssh/sftp-server',
  'LogLevel VERBOSE',
];
const key: TestKey = makeKey('ed25519');
makeUser('bench', { authorizedKeys: [key.line] });

const start = async (kind: ServerKind): Promise<TestServer> =>
  await startServer({ kind, config, hostKeys: ['ed25519'] });

/** One ssh, its output thrown away or its input a file; seconds. */
async function timed(
  server: TestServer,
  args: readonly string[],
  command: string,
  inputFile?: string,
): Promise<number> {
  const input = openSync(inputFile ?? '/dev/null', 'r');
  const began = performance.now();
  const child = spawn('ssh', sshArguments(server, { key, user: 'bench', args }, command), {
    stdio: [input, openNull(), 'inherit'],
  });
  closeSync(input);
  const status = await ended(child);
  if (status !== 0) {
    throw new Error(
      `${server.kind}: ssh ${command} ended with ${status}\n${server.log().slice(-3000)}`,
    );
  }
  return (performance.now() - began) / 1000;
}

const nullFile = openSync('/dev/null', 'w');
function openNull(): number {
  return nullFile;
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (status) => resolve(status));
  });
}

/** `sample` of both, alternated, `pairs` times; whoever begins changes. */
async function alternate(
  ours: TestServer,
  sshd: TestServer,
  sample: (server: TestServer) => Promise<number>,
): Promise<readonly [number[], number[]]> {
  const results: [number[], number[]] = [[], []];
  for (let round = 0; round < pairs; round++) {
    const order = round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const);
    for (const which of order) {
      results[which].push(await sample(which === 0 ? ours : sshd));
    }
  }
  return results;
}

async function benchLogin(ours: TestServer, sshd: TestServer): Promise<void> {
  const serial = 15;
  await timed(ours, [], 'true');
  const [one, oneSshd] = await alternate(ours, sshd, async (server) => {
    const began = performance.now();
    for (let index = 0; index < serial; index++) {
      await timed(server, [], 'true');
    }
    return serial / ((performance.now() - began) / 1000);
  });
  record('login + true, one at a time', '1/s', '≥ 3', one, oneSshd);
  const parallel = 40;
  const [eight, eightSshd] = await alternate(ours, sshd, async (server) => {
    const began = performance.now();
    let left = parallel;
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        while (left-- > 0) {
          await timed(server, [], 'true');
        }
      }),
    );
    return parallel / ((performance.now() - began) / 1000);
  });
  record('login + true, eight at a time', '1/s', '≥ 3', eight, eightSshd);
}

async function benchBulk(ours: TestServer, sshd: TestServer): Promise<void> {
  const file = '/tmp/gibibyte';
  const bytes = 1024 ** 3;
  execFileSync('dd', ['if=/dev/urandom', `of=${file}`, 'bs=1M', 'count=1024', 'status=none']);
  for (const cipher of ['aes128-gcm@openssh.com', 'chacha20-poly1305@openssh.com']) {
    const args = ['-o', `Ciphers=${cipher}`];
    const login = new Map<TestServer, number>();
    for (const server of [ours, sshd]) {
      const samples = [];
      for (let index = 0; index < 7; index++) {
        samples.push(await timed(server, args, 'true'));
      }
      login.set(server, median(samples));
    }
    const rate = (server: TestServer, seconds: number): number =>
      bytes / 1e6 / (seconds - (login.get(server) ?? 0));
    const short = cipher.replace(/@.*/, '');
    const down = await alternate(ours, sshd, async (server) =>
      rate(server, await timed(server, args, `cat ${file}`)),
    );
    record(`download ${short}`, 'MB/s', '≥ 0.95', ...down);
    const up = await alternate(ours, sshd, async (server) =>
      rate(server, await timed(server, args, 'cat > /dev/null', file)),
    );
    record(`upload ${short}`, 'MB/s', '≥ 0.95', ...up);
  }
}

function pssKilobytes(server: TestServer): number {
  return processTree(server.pid)
    .map(({ pid }) => Number(/^Pss:\s+(\d+)/m.exec(readProcFile(pid, 'smaps_rollup'))?.[1] ?? 0))
    .reduce((sum, value) => sum + value, 0);
}

async function benchIdle(): Promise<void> {
  const growth: [number[], number[]] = [[], []];
  const base: [number[], number[]] = [[], []];
  for (let round = 0; round < pairs; round++) {
    for (const which of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      // A fresh daemon each time: a heap that has been large once would hide the growth.
      const server = await start(which === 0 ? serverKind : 'sshd');
      for (let index = 0; index < 3; index++) {
        await timed(server, [], 'true');
      }
      await delay(500);
      const before = pssKilobytes(server);
      const accepted = () => server.log().split('Accepted publickey').length - 1;
      const was = accepted();
      const clients: ChildProcess[] = [];
      const limit = Date.now() + 60_000;
      while (clients.length < idleLogins) {
        clients.push(
          spawn('ssh', sshArguments(server, { key, user: 'bench', args: ['-N'] }), {
            stdio: 'ignore',
          }),
        );
        while (clients.length - (accepted() - was) >= 16) {
          await delay(10);
          if (Date.now() > limit) {
            throw new Error(`${server.kind}: ${accepted() - was} logins in 60 s`);
          }
        }
      }
      while (accepted() - was < idleLogins && Date.now() < limit) {
        await delay(20);
      }
      await delay(1_500);
      if (clients.some((client) => client.exitCode !== null)) {
        throw new Error(`${server.kind}: a login ended\n${server.log().slice(-2000)}`);
      }
      growth[which].push((pssKilobytes(server) - before) / idleLogins);
      base[which].push(before / 1024);
      const over = clients.map((client) => ended(client));
      for (const client of clients) {
        client.kill('SIGKILL');
      }
      await Promise.all(over);
      await server.stop();
    }
  }
  record(`idle login, PSS of all processes`, 'kB', '≤ 0.25', ...growth);
  record('without a login, PSS', 'MB', '', ...base);
}

async function benchDesktop(server: TestServer): Promise<void> {
  const times = 20;
  const picture = async (): Promise<number> => {
    const began = performance.now();
    const child = spawn('ssh', sshArguments(server, { key, user: 'bench', args: ['-s'] }, 'rfb'), {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    // The viewer leaves by -9; what it had not read is of no interest.
    child.stdin.on('error', () => undefined);
    const over = ended(child);
    const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
    try {
      await firstPicture(child.stdout, child.stdin);
      return performance.now() - began;
    } finally {
      clearTimeout(timer);
      child.kill('SIGKILL');
      await over;
    }
  };
  const terminate = (): void => {
    execFileSync(path.join(checkout, 'sshdesk'), ['sessions', 'terminate', 'default'], {
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: 20_000,
    });
  };
  const starts: number[] = [];
  for (let index = 0; index < times; index++) {
    starts.push(await picture());
    terminate();
  }
  record('start of a desktop to first frame', 'ms', '', starts, undefined);
  await picture();
  await delay(2_000);
  const resumes: number[] = [];
  for (let index = 0; index < times; index++) {
    resumes.push(await picture());
  }
  record('resume of a desktop to first frame', 'ms', '', resumes, undefined);
  terminate();
}

console.log(
  `${'median'.padEnd(34)} ${'unit'.padEnd(10)} ${serverKind.padStart(10)} ${'sshd'.padStart(10)} ${'ratio'.padStart(10)}  wanted   (${pairs} pairs)`,
);
if (wants('login') || wants('bulk')) {
  const [ours, sshd] = [await start(serverKind), await start('sshd')];
  try {
    if (wants('login')) {
      await benchLogin(ours, sshd);
    }
    if (wants('bulk')) {
      await benchBulk(ours, sshd);
    }
  } finally {
    await ours.stop();
    await sshd.stop();
  }
}
if (wants('idle')) {
  await benchIdle();
}
if (wants('desktop') && serverKind === 'sshdesk') {
  const server = await start('sshdesk');
  try {
    await benchDesktop(server);
  } finally {
    await server.stop();
  }
}
