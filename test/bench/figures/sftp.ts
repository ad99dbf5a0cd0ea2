/** sftp of one large file and of many small ones, both directions. Runs in: test, in the lab. */
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestServer } from '../../support/server.ts';
import { clientArguments } from '../../support/stock-client.ts';
import { type Bench, ended, type Figure } from '../bench.ts';

export const sftp: Figure = { name: 'sftp', startsServers: false, run: benchSftp };

const largeMebibytes = 512;
const smallFiles = 2000;
const smallBytes = 4096;

/** Seconds of `sftp -b`, login included. */
async function batch(
  bench: Bench,
  server: TestServer,
  folder: string,
  line: string,
): Promise<number> {
  const script = path.join(folder, 'batch');
  writeFileSync(script, `${line}\n`);
  const began = performance.now();
  const child = spawn(
    'sftp',
    ['-q', '-b', script, ...clientArguments(server, { key: bench.key }), `${bench.user}@127.0.0.1`],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const status = await ended(child);
  if (status !== 0) {
    throw new Error(`${server.kind}: sftp ended with ${status}\n${server.log().slice(-3000)}`);
  }
  return (performance.now() - began) / 1000;
}

async function benchSftp(bench: Bench, ours: TestServer, sshd: TestServer): Promise<void> {
  const folder = mkdtempSync('/tmp/bench-sftp-');
  chmodSync(folder, 0o777);
  const large = path.join(folder, 'large');
  execFileSync('dd', [
    'if=/dev/urandom',
    `of=${large}`,
    'bs=1M',
    `count=${largeMebibytes}`,
    'status=none',
  ]);
  const small = path.join(folder, 'small');
  mkdirSync(small);
  for (let index = 0; index < smallFiles; index++) {
    writeFileSync(path.join(small, `file-${index}`), Buffer.alloc(smallBytes, index));
  }
  const copy = path.join(folder, 'copy');
  const measure = async (name: string, unit: string, amount: number, line: string) => {
    const samples = await bench.alternate(ours, sshd, async (server) => {
      rmSync(copy, { recursive: true, force: true });
      return amount / (await batch(bench, server, folder, line));
    });
    bench.record(name, unit, '≥ 1', ...samples);
  };
  try {
    const megabytes = (largeMebibytes * 1024 * 1024) / 1e6;
    await measure('sftp get, one large file', 'MB/s', megabytes, `get ${large} ${copy}`);
    await measure('sftp put, one large file', 'MB/s', megabytes, `put ${large} ${copy}`);
    await measure(
      `sftp get, ${smallFiles} small files`,
      '1/s',
      smallFiles,
      `get -r ${small} ${copy}`,
    );
    await measure(
      `sftp put, ${smallFiles} small files`,
      '1/s',
      smallFiles,
      `put -r ${small} ${copy}`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
