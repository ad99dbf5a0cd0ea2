/**
 * node test/bench/cpu.ts [CIPHER…]: CPU seconds per GiB of each server process for a download and an
 * upload, sshdesk beside Debian's sshd. Steadier than MB/s on a machine that has other things to
 * do. Runs in: test, in the lab.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { inLab, makeKey, makeUser } from '../support/lab.ts';
import {
  processTree,
  readProcFile,
  type ServerKind,
  startServer,
  type TestServer,
} from '../support/server.ts';
import { sshArguments } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);
if (lab.skip !== false) {
  throw new Error(lab.skip);
}
const rounds = Number(process.env.ROUNDS ?? 5);
const gibibytes = 1;
const file = '/tmp/gibibyte';
const ticksPerSecond = 100;
const config = ['UsePAM yes', 'KbdInteractiveAuthentication no', 'MaxStartups 500'];
const key = makeKey('ed25519');
makeUser('bench', { authorizedKeys: [key.line] });
execFileSync('dd', ['if=/dev/urandom', `of=${file}`, 'bs=1M', 'count=1024', 'status=none']);

/** Sum over the tree, ended children of live processes included: user, system, of ended children. */
function cpuSeconds(server: TestServer): number[] {
  let user = 0;
  let system = 0;
  let ofEnded = 0;
  for (const { pid } of processTree(server.pid)) {
    const stat = readProcFile(pid, 'stat');
    if (stat === '') {
      continue; // ended meanwhile
    }
    const fields = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    user += fields[11] ?? 0;
    system += fields[12] ?? 0;
    ofEnded += (fields[13] ?? 0) + (fields[14] ?? 0);
  }
  return [user, system, ofEnded].map((ticks) => ticks / ticksPerSecond);
}

async function sample(server: TestServer, cipher: string, isUpload: boolean): Promise<number[]> {
  const before = cpuSeconds(server);
  const input = openSync(isUpload ? file : '/dev/null', 'r');
  const none = openSync('/dev/null', 'w');
  const began = performance.now();
  const child = spawn(
    'ssh',
    sshArguments(
      server,
      { key, user: 'bench', args: ['-o', `Ciphers=${cipher}`] },
      isUpload ? 'cat > /dev/null; sleep 0.2' : `cat ${file}; sleep 0.2`,
    ),
    { stdio: [input, none, 'inherit'] },
  );
  closeSync(input);
  closeSync(none);
  // sshd's processes of a connection end with it: their time is only seen while they live.
  let last = before;
  const timer = setInterval(() => {
    last = cpuSeconds(server);
  }, 20);
  await once(child, 'exit');
  clearInterval(timer);
  const seconds = (performance.now() - began) / 1000 - 0.2;
  return [seconds, ...last.map((value, index) => value - (before[index] ?? 0))];
}

const ciphers = process.argv.slice(2).filter((name) => /gcm|chacha|ctr/.test(name));
const kinds = (process.env.KINDS ?? 'sshdesk,sshd').split(',') as ServerKind[];
const servers = await Promise.all(
  kinds.map(async (kind) => await startServer({ kind, config, hostKeys: ['ed25519'] })),
);
for (const cipher of ciphers.length > 0 ? ciphers : ['aes128-gcm@openssh.com']) {
  for (const isUpload of [false, true]) {
    const samples = new Map<TestServer, number[][]>(servers.map((server) => [server, []]));
    for (let round = 0; round < rounds; round++) {
      for (const server of servers) {
        samples.get(server)?.push(await sample(server, cipher, isUpload));
      }
    }
    for (const [server, values] of samples) {
      const median = [0, 1, 2, 3].map((index) => {
        const column = values.map((row) => row[index] ?? 0).toSorted((a, b) => a - b);
        return (column[column.length >> 1] ?? 0) / gibibytes;
      });
      console.log(
        `${server.kind.padEnd(8)} ${isUpload ? 'up  ' : 'down'} ${cipher.padEnd(30)} wall ${median[0]?.toFixed(2)} user ${median[1]?.toFixed(2)} sys ${median[2]?.toFixed(2)} ended ${median[3]?.toFixed(2)}`,
      );
    }
  }
}
for (const server of servers) {
  await server.stop();
}
