/**
 * IPQoS as the kernel has it on the server's socket, also of Debian's sshd
 * (SSHDESK_TEST_SERVER=sshd). Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { type ClientOptions, spawnClient, sshArguments } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 120_000);

/** Of the connections to a port that are established, in hexadecimal; `ss` leaves 0 out. */
function classesOf(server: TestServer): readonly string[] {
  const filter = ['state', 'established', `( sport = :${server.port} )`];
  return execFileSync('ss', ['-tnHO', '--tos', ...filter], { encoding: 'utf8' })
    .trimEnd()
    .split('\n')
    .map((line) => /tos:(0x[0-9a-f]+)/.exec(line)?.[1] ?? '0x0');
}

describe('IPQoS', lab, () => {
  let key: TestKey;
  before(() => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    makeUser('bob', { authorizedKeys: [key.line] });
  });

  async function has(
    server: TestServer,
    options: Partial<ClientOptions>,
    expected: string,
  ): Promise<void> {
    const all = { key, user: 'alice', ...options };
    // The client's own class is of the other end.
    const child = spawnClient('ssh', sshArguments(server, all, 'echo in; cat'), all);
    try {
      await new Promise((resolve) => child.stdout.once('data', resolve));
      await eventually(`class ${expected}`, () => classesOf(server).includes(expected));
      assert.deepEqual(classesOf(server), [expected]);
    } finally {
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('close', resolve));
      await eventually('it has ended', () => classesOf(server).length < 2);
    }
  }

  test('without a line: lowdelay for a terminal, throughput without', async () => {
    await using server = await startServer({ config: ['UsePAM yes'] });
    await has(server, { args: ['-tt'] }, '0x10');
    await has(server, {}, '0x8');
  });

  test('two classes, one for both, none, and others in a Match block', async () => {
    await using server = await startServer({
      config: ['UsePAM yes', 'IPQoS ef cs1', 'Match User bob', 'IPQoS af21', 'Match all'],
    });
    await has(server, { args: ['-tt'] }, '0xb8');
    await has(server, {}, '0x20');
    await has(server, { user: 'bob' }, '0x48');
    await using without = await startServer({ config: ['UsePAM yes', 'IPQoS none'] });
    await has(without, { args: ['-tt'] }, '0x0');
  });
});
