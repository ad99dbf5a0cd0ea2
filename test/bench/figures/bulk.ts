/** Large transfers through a command, down and up.
 * The time of a transfer is that of `ssh host cat FILE` less the median time of `ssh host true` of
 * the same server, so that a slow login does not count as a slow transfer. Runs in: test, in the lab. */
import { execFileSync } from 'node:child_process';
import type { TestServer } from '../../support/server.ts';
import { type Bench, type Figure, median } from '../bench.ts';

export const bulk: Figure = { name: 'bulk', startsServers: false, run: benchBulk };

async function benchBulk(bench: Bench, ours: TestServer, sshd: TestServer): Promise<void> {
  const file = '/tmp/gibibyte';
  const bytes = 1024 ** 3;
  execFileSync('dd', ['if=/dev/urandom', `of=${file}`, 'bs=1M', 'count=1024', 'status=none']);
  for (const cipher of ['aes128-gcm@openssh.com', 'chacha20-poly1305@openssh.com']) {
    const args = ['-o', `Ciphers=${cipher}`];
    const login = new Map<TestServer, number>();
    for (const server of [ours, sshd]) {
      const samples = [];
      for (let index = 0; index < 7; index++) {
        samples.push(await bench.timed(server, args, 'true'));
      }
      login.set(server, median(samples));
    }
    const rate = (server: TestServer, seconds: number): number =>
      bytes / 1e6 / (seconds - (login.get(server) ?? 0));
    const short = cipher.replace(/@.*/, '');
    const down = await bench.alternate(ours, sshd, async (server) =>
      rate(server, await bench.timed(server, args, `cat ${file}`)),
    );
    bench.record(`download ${short}`, 'MB/s', '≥ 0.95', ...down);
    const up = await bench.alternate(ours, sshd, async (server) =>
      rate(server, await bench.timed(server, args, 'cat > /dev/null', file)),
    );
    bench.record(`upload ${short}`, 'MB/s', '≥ 0.95', ...up);
  }
}
