/** From login to the first picture of a desktop, started and resumed. Runs in: test, in the lab. */
import { execFileSync, spawn } from 'node:child_process';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { checkout } from '../../support/lab.ts';
import { firstPicture } from '../../support/rfb-client.ts';
import { serverKind, type TestServer } from '../../support/server.ts';
import { sshArguments } from '../../support/stock-client.ts';
import { type Bench, ended, type Figure } from '../bench.ts';

export const desktop: Figure = { name: 'desktop', startsServers: true, run: benchDesktop };

async function benchDesktop(bench: Bench): Promise<void> {
  if (serverKind !== 'sshdesk') {
    return;
  }
  const server = await bench.start('sshdesk');
  try {
    await measure(bench, server);
  } finally {
    await server.stop();
  }
}

async function measure(bench: Bench, server: TestServer): Promise<void> {
  const times = 20;
  const picture = async (): Promise<number> => {
    const began = performance.now();
    const child = spawn(
      'ssh',
      sshArguments(server, { key: bench.key, user: 'bench', args: ['-s'] }, 'rfb'),
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
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
  bench.record('start of a desktop to first frame', 'ms', '', starts, undefined);
  await picture();
  await delay(2_000);
  const resumes: number[] = [];
  for (let index = 0; index < times; index++) {
    resumes.push(await picture());
  }
  bench.record('resume of a desktop to first frame', 'ms', '', resumes, undefined);
  terminate();
}
