/** Memory of idle logins, over all processes of a server. Runs in: test, in the lab. */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { serverKind } from '../../support/server.ts';
import { sshArguments } from '../../support/stock-client.ts';
import { type Bench, ended, type Figure, pssKilobytes } from '../bench.ts';

export const idle: Figure = { name: 'idle', startsServers: true, run: benchIdle };

async function benchIdle(bench: Bench): Promise<void> {
  const growth: [number[], number[]] = [[], []];
  const base: [number[], number[]] = [[], []];
  for (let round = 0; round < bench.pairs; round++) {
    for (const which of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      // A fresh daemon each time: a heap that has been large once would hide the growth.
      const server = await bench.start(which === 0 ? serverKind : 'sshd');
      for (let index = 0; index < 3; index++) {
        await bench.timed(server, [], 'true');
      }
      await delay(500);
      const before = pssKilobytes(server);
      const accepted = () => server.log().split('Accepted publickey').length - 1;
      const was = accepted();
      const clients: ChildProcess[] = [];
      const limit = Date.now() + 60_000;
      while (clients.length < bench.logins) {
        clients.push(
          spawn('ssh', sshArguments(server, { key: bench.key, user: 'bench', args: ['-N'] }), {
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
      while (accepted() - was < bench.logins && Date.now() < limit) {
        await delay(20);
      }
      await delay(1_500);
      if (clients.some((client) => client.exitCode !== null)) {
        throw new Error(`${server.kind}: a login ended\n${server.log().slice(-2000)}`);
      }
      growth[which].push((pssKilobytes(server) - before) / bench.logins);
      base[which].push(before / 1024);
      const over = clients.map((client) => ended(client));
      for (const client of clients) {
        client.kill('SIGKILL');
      }
      await Promise.all(over);
      await server.stop();
    }
  }
  bench.record(`idle login, PSS of all processes`, 'kB', '≤ 0.25', ...growth);
  bench.record('without a login, PSS', 'MB', '', ...base);
}
