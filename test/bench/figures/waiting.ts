/**
 * A login by key while 200 others are asked something by PAM and do not answer. Runs in: test, in the
 * lab.
 */
import { payload, RawSsh, str } from '../../support/raw-ssh.ts';
import { serverKind, type TestServer } from '../../support/server.ts';
import { type Bench, type Figure, median } from '../bench.ts';

export const waiting: Figure = { name: 'waiting', startsServers: true, run: benchWaiting };

const waitingCount = 200;
const logins = 10;
const atOnce = 10;

/** Until PAM's prompt is there. */
async function ask(server: TestServer, user: string): Promise<RawSsh> {
  const client = await RawSsh.shaken(server.port);
  await client.requestUserauth();
  const method = str('keyboard-interactive');
  client.send(payload(50, str(user), str('ssh-connection'), method, str(''), str('')));
  const answer = await client.nextOf(51, 60);
  if (answer[0] !== 60) {
    throw new Error(`${server.kind}: PAM asks nothing`);
  }
  return client;
}

async function benchWaiting(bench: Bench): Promise<void> {
  const flags = ['-o', 'KbdInteractiveAuthentication=yes', '-o', 'LoginGraceTime=600'];
  const results: Record<'alone' | 'beside', number[][]> = { alone: [], beside: [] };
  for (const kind of [serverKind, 'sshd'] as const) {
    const server = await bench.start(kind, flags);
    const clients: RawSsh[] = [];
    const measure = async (): Promise<number[]> => {
      const samples: number[] = [];
      for (let login = 0; login < logins; login++) {
        samples.push(1000 * (await bench.timed(server, [], 'true')));
      }
      return samples;
    };
    try {
      await measure();
      results.alone.push(await measure());
      let left = waitingCount;
      await Promise.all(
        Array.from({ length: atOnce }, async () => {
          while (left-- > 0) {
            clients.push(await ask(server, bench.user));
          }
        }),
      );
      results.beside.push(await measure());
    } finally {
      for (const client of clients) {
        client.close();
      }
      await server.stop();
    }
  }
  for (const [name, [ours, sshd]] of Object.entries(results)) {
    const text = name === 'alone' ? 'login by key' : `login beside ${waitingCount} that PAM asks`;
    bench.record(text, 'ms', '', ours ?? [], sshd);
  }
  const slower = median(results.beside[0] ?? []) / median(results.alone[0] ?? []);
  const slowerSshd = median(results.beside[1] ?? []) / median(results.alone[1] ?? []);
  bench.record('beside / alone', '×', '≤ 1.1', [slower], [slowerSshd]);
}
