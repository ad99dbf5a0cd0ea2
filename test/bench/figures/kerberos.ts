/** Logins with Kerberos tickets, one and eight at a time. Runs in: test, in the lab. */
import { closeSync, openSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { Realm } from '../../support/kerberos.ts';
import { serverKind, type TestServer } from '../../support/server.ts';
import { sshArguments } from '../../support/stock-client.ts';
import { type Bench, ended, type Figure } from '../bench.ts';

export const kerberos: Figure = { name: 'kerberos', startsServers: true, run: benchKerberos };

const serial = 12;
const parallel = 32;
const atOnce = 8;

async function benchKerberos(bench: Bench): Promise<void> {
  const realm = await Realm.start();
  realm.addUser(bench.user, 'secret');
  const tickets = realm.tickets(bench.user, 'secret');
  const ours = await bench.start(serverKind, ['-o', 'GSSAPIAuthentication=yes']);
  const sshd = await bench.start('sshd', ['-o', 'GSSAPIAuthentication=yes']);
  const login = async (server: TestServer): Promise<void> => {
    const nothing = openSync('/dev/null', 'r+');
    const options = { user: bench.user, args: realm.clientArguments(server.port) };
    const child = spawn('ssh', sshArguments(server, options, 'true'), {
      env: { PATH: '/usr/bin:/bin', HOME: '/root', KRB5CCNAME: tickets },
      stdio: [nothing, nothing, 'inherit'],
    });
    closeSync(nothing);
    const status = await ended(child);
    if (status !== 0) {
      throw new Error(`${server.kind}: status ${status}\n${server.log().slice(-3000)}`);
    }
  };
  const rate = async (count: number, work: () => Promise<unknown>): Promise<number> => {
    const began = performance.now();
    await work();
    return count / ((performance.now() - began) / 1000);
  };
  try {
    const one = await bench.alternate(ours, sshd, (server) =>
      rate(serial, async () => {
        for (let index = 0; index < serial; index++) {
          await login(server);
        }
      }),
    );
    bench.record('login with tickets, one at a time', '1/s', '≥ 1', ...one);
    const eight = await bench.alternate(ours, sshd, (server) =>
      rate(parallel, () => {
        let left = parallel;
        return Promise.all(
          Array.from({ length: atOnce }, async () => {
            while (left-- > 0) {
              await login(server);
            }
          }),
        );
      }),
    );
    bench.record('login with tickets, eight at a time', '1/s', '≥ 1', ...eight);
  } finally {
    await ours.stop();
    await sshd.stop();
    await realm.stop();
  }
}
