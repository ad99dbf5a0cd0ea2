/**
 * UpdateHostKeys of `sshdesk connect`: what our server and Debian's sshd name after a login is learned
 * with a proof and forgotten without; what is not the user's to keep stays. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { login } from '../../src/cli/connect/login.ts';
import { readSettings, surroundings } from '../../src/cli/connect/settings.ts';
import { Terminal } from '../../src/cli/connect/terminal.ts';
import { areProven, changeOf, type Prover } from '../../src/ssh/client/host-key-update.ts';
import { hostKeyType, parseKnownHosts } from '../../src/ssh/client/known-hosts.ts';
import { eventually } from '../support/child.ts';
import { blobOf } from '../support/certificates.ts';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';

const lab = inLab(import.meta.url);

for (const kind of ['sshdesk', 'sshd'] as const) {
  describe(`host keys that ${kind} names`, lab, () => {
    let server: TestServer;
    let key: TestKey;
    let known: string;
    let name: string;
    let ed25519: string;
    let rsa: string;
    const gone = makeKey('ecdsa');

    before(async () => {
      key = makeKey('ed25519');
      makeUser(`alice${kind}`, { authorizedKeys: [key.line] });
      server = await startServer({ kind, hostKeys: ['ed25519', 'rsa'], config: ['UsePAM yes'] });
      known = path.join(server.folder, 'mine');
      name = `[127.0.0.1]:${server.port}`;
      const lines = readFileSync(server.knownHosts, 'utf8').split('\n');
      [ed25519 = '', rsa = ''] = lines.map((line) => line.split(' ').slice(1, 3).join(' '));
    });
    after(async () => await server?.stop());

    /** Logs in; what the file holds when `isDone` says so, or when a reply shows that nothing came. */
    async function loginWith(
      lines: string,
      isDone: (text: string) => boolean,
      ...options: string[]
    ): Promise<string> {
      writeFileSync(known, lines, { mode: 0o640 });
      const settings = await readSettings(
        {
          target: `alice${kind}@127.0.0.1:${server.port}`,
          identityFiles: [key.file],
          port: undefined,
          user: undefined,
          options: [
            `UserKnownHostsFile=${known}`,
            'UpdateHostKeys=yes',
            'StrictHostKeyChecking=yes',
            'IdentityAgent=none',
            ...options,
          ].reverse(),
          configFile: 'none',
          isBatch: true,
        },
        surroundings({}),
      );
      const never = new AbortController().signal;
      const session = await login(settings, new Terminal(process.stderr), never);
      try {
        // Replies come in order: behind this one the proof has been answered.
        await session.ask('keepalive@openssh.com', Buffer.alloc(0));
        await session.ask('keepalive@openssh.com', Buffer.alloc(0));
        return await eventually('the file', () => {
          const text = readFileSync(known, 'utf8');
          return isDone(text) && text;
        });
      } finally {
        await session.close();
      }
    }

    test('are learned beside the one that was known; what it has no more is forgotten', async () => {
      const lines = `# mine\n${name} ${gone.line}\n${name} ${ed25519} office\nother ${ed25519}\n`;
      const text = await loginWith(
        lines,
        (found) => found.includes(rsa) && !found.includes(`${name} ecdsa`),
      );
      assert.equal(text, `# mine\n${name} ${ed25519} office\nother ${ed25519}\n${name} ${rsa}\n`);
    });

    test('are learned hashed with HashKnownHosts', async () => {
      const text = await loginWith(
        `${name} ${ed25519}\n`,
        (found) => found.includes(rsa),
        'HashKnownHosts=yes',
      );
      assert.match(text, /^\S+ ssh-ed25519 \S+\n\|1\|\S+ ssh-rsa \S+\n$/);
    });

    test('stay as they are where lines are not plain, are for more, revoke, or UpdateHostKeys is no', async () => {
      const own = `${name} ${ed25519}\n`;
      const rows: readonly (readonly [string, ...string[]])[] = [
        [own, 'UpdateHostKeys=no'],
        [own, 'UpdateHostKeys=ask'],
        [`127.0.0.1 ${ed25519}\n`],
        [`[127.0.0.*]:* ${ed25519}\n`],
        [`${name},desk ${ed25519}\n`],
        [`${own}@cert-authority ${name} ${gone.line}\n`],
        [`${own}@revoked ${name} ${rsa}\n`],
        [`${own}${name} ${gone.line}\nelsewhere ${gone.line}\n`],
      ];
      for (const [lines, ...options] of rows) {
        assert.equal(await loginWith(lines, () => true, ...options), lines);
      }
    });
  });
}

describe('a list of host keys', () => {
  const [first, second] = [makeKey('ed25519'), makeKey('ed25519')];
  const [known, other] = [blobOf(first.line), blobOf(second.line)];

  test('without the known one changes nothing', () => {
    const entries = parseKnownHosts(`desk ${first.line}\n`, 'f');
    assert.equal(changeOf(entries, 'desk', [other]), null);
    assert.equal(changeOf(entries, 'desk', [known]), null);
    assert.equal(changeOf(entries, 'desk', []), null);
    assert.equal(changeOf(entries, 'desk', [known, other])?.learned.length, 1);
    assert.equal(hostKeyType(other), 'ssh-ed25519');
  });

  test('is not believed without a proof of each', async () => {
    const answers = [undefined, Buffer.alloc(0), Buffer.alloc(7), Buffer.from('\0\0\0\x01x')];
    for (const answer of answers) {
      const prover: Prover = { sessionId: Buffer.alloc(32), ask: () => Promise.resolve(answer) };
      assert.equal(await areProven(prover, [other]), false);
    }
  });
});
