/**
 * What 500 Match blocks in 128 KiB of configuration cost a login: with them, less without them.
 * Runs in: test, in the lab.
 */
import { serverKind, type TestServer } from '../../support/server.ts';
import { longConfig } from '../../support/long-config.ts';
import type { Bench, Figure } from '../bench.ts';

export const match: Figure = { name: 'match', startsServers: true, run: benchMatch };

const serial = 10;

async function benchMatch(bench: Bench): Promise<void> {
  const servers: TestServer[] = [];
  const pair = async (kind: typeof serverKind) => {
    const [plain, long] = [await bench.start(kind), await bench.start(kind, [], longConfig())];
    servers.push(plain, long);
    return { plain, long };
  };
  try {
    const [ours, sshd] = [await pair(serverKind), await pair('sshd')];
    const pairOf = new Map([
      [ours.long, ours],
      [sshd.long, sshd],
    ]);
    const loginMs = async (server: TestServer): Promise<number> => {
      const began = performance.now();
      for (let index = 0; index < serial; index++) {
        await bench.timed(server, [], 'true');
      }
      return (performance.now() - began) / serial;
    };
    // The first login of a server pays for what is made once.
    for (const server of servers) {
      await bench.timed(server, [], 'true');
    }
    const cost = await bench.alternate(ours.long, sshd.long, async (server) => {
      const { plain, long } = pairOf.get(server) as typeof ours;
      const withBlocks = await loginMs(long);
      return withBlocks - (await loginMs(plain));
    });
    bench.record('login: cost of 500 Match blocks', 'ms', '≤ 2', ...cost);
  } finally {
    for (const server of servers) {
      await server.stop();
    }
  }
}
