/** Logins with a command, one and eight at a time. Runs in: test, in the lab. */
import type { TestServer } from '../../support/server.ts';
import type { Bench, Figure } from '../bench.ts';

export const login: Figure = { name: 'login', startsServers: false, run: benchLogin };

async function benchLogin(bench: Bench, ours: TestServer, sshd: TestServer): Promise<void> {
  const serial = 15;
  await bench.timed(ours, [], 'true');
  const [one, oneSshd] = await bench.alternate(ours, sshd, async (server) => {
    const began = performance.now();
    for (let index = 0; index < serial; index++) {
      await bench.timed(server, [], 'true');
    }
    return serial / ((performance.now() - began) / 1000);
  });
  bench.record('login + true, one at a time', '1/s', '≥ 3', one, oneSshd);
  const parallel = 40;
  const [eight, eightSshd] = await bench.alternate(ours, sshd, async (server) => {
    const began = performance.now();
    let left = parallel;
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        while (left-- > 0) {
          await bench.timed(server, [], 'true');
        }
      }),
    );
    return parallel / ((performance.now() - began) / 1000);
  });
  bench.record('login + true, eight at a time', '1/s', '≥ 3', eight, eightSshd);
}
