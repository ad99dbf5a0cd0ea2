/**
 * The transport's keywords in effect, seen by the stock client: every key exchange method with every
 * cipher and MAC and every host key, Compression, RekeyLimit, VersionAddendum, and what the log says
 * when nothing agrees. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  cipherAlgorithms,
  hostKeyAlgorithms,
  kexAlgorithms,
  macAlgorithms,
} from '../../src/ssh/wire/algorithms.ts';
import { inLab, makeKey, makeUser, run, type TestKey } from '../support/lab.ts';
import { serverKind, startServer, type TestServer } from '../support/server.ts';
import { spawnClient, ssh, sshArguments } from '../support/stock-client.ts';
import { Pattern } from '../support/transport-server.ts';

const lab = inLab(import.meta.url);

function clientKnows(query: string): ReadonlySet<string> {
  const answer = spawnSync('ssh', ['-Q', query], { encoding: 'utf8', timeout: 10_000 });
  return new Set((answer.stdout ?? '').split('\n'));
}

describe('the keywords of the transport', lab, () => {
  let key: TestKey;
  before(() => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
  });

  describe('every algorithm with every other', () => {
    let server: TestServer;
    let folder = '';
    const types = ['ed25519', 'ecdsa', 'rsa'];
    const methods = kexAlgorithms.map(({ name }) => name).filter((n) => clientKnows('kex').has(n));
    const ciphers = cipherAlgorithms.flatMap(({ name, authenticates }) =>
      (authenticates ? [macAlgorithms[0]] : macAlgorithms).map((mac) => ({
        cipher: name,
        mac: mac?.name ?? '',
      })),
    );
    const hostKeys = hostKeyAlgorithms
      .map(({ name }) => name)
      .filter((name) => !/nistp(?:384|521)/.test(name));

    before(async () => {
      folder = mkdtempSync('/tmp/every-algorithm-');
      const authority = path.join(folder, 'ca');
      for (const type of ['ca', ...types]) {
        const file = path.join(folder, type);
        const kind = type === 'ca' ? 'ed25519' : type;
        run('ssh-keygen', ['-q', '-t', kind, '-N', '', '-C', '', '-f', file]);
        if (type !== 'ca') {
          const names = ['-n', '127.0.0.1', `${file}.pub`];
          run('ssh-keygen', ['-q', '-s', authority, '-I', type, '-h', ...names]);
        }
      }
      server = await startServer({
        hostKeys: [],
        config: [
          ...types.flatMap((type) => [
            `HostKey ${path.join(folder, type)}`,
            `HostCertificate ${path.join(folder, type)}-cert.pub`,
          ]),
          `KexAlgorithms ${methods.join(',')}`,
          `Ciphers ${cipherAlgorithms.map(({ name }) => name).join(',')}`,
          `MACs ${macAlgorithms.map(({ name }) => name).join(',')}`,
          'HostKeyAlgorithms *',
        ],
      });
    });
    after(async () => {
      await server?.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    test('each pair of method and cipher, of method and host key', {
      timeout: 100_000,
    }, async () => {
      const known = path.join(folder, 'known_hosts');
      const at = `[127.0.0.1]:${server.port}`;
      const lines = types.map(
        (type) => `${at} ${readFileSync(path.join(folder, `${type}.pub`), 'utf8')}`,
      );
      const trusted = `@cert-authority ${at} ${readFileSync(path.join(folder, 'ca.pub'), 'utf8')}`;
      writeFileSync(known, [...lines, trusted].join(''));
      const least = Math.max(ciphers.length, hostKeys.length);
      const combinations = Array.from({ length: methods.length * least }, (_, i) => {
        const step = Math.floor(i / methods.length);
        return {
          kex: methods[i % methods.length] as string,
          ...(ciphers[step % ciphers.length] as (typeof ciphers)[number]),
          hostKey: hostKeys[step % hostKeys.length] as string,
          compression: i % 3 === 0 ? 'yes' : 'no',
        };
      });
      assert.ok(combinations.length >= 100);
      const waiting = [...combinations];
      const failures: string[] = [];
      const work = async (): Promise<void> => {
        for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
          const { kex, cipher, mac, hostKey, compression } = next;
          const args = Object.entries({
            KexAlgorithms: kex,
            Ciphers: cipher,
            MACs: mac,
            HostKeyAlgorithms: hostKey,
            Compression: compression,
          }).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
          const input = `${JSON.stringify(next)}\n`.repeat(1000);
          const outcome = await ssh(
            { port: server.port, knownHosts: known },
            { key, args, input },
            'cat',
          );
          if (outcome.status !== 0 || outcome.text !== input) {
            failures.push(`${JSON.stringify(next)}: ${outcome.status} ${outcome.stderr}`);
          }
        }
      };
      await Promise.all([work(), work(), work()]);
      assert.deepEqual(failures, []);
    });
  });

  describe('what does not agree', () => {
    test('is logged in the words of sshd', async () => {
      await using server = await startServer({ hostKeys: ['ed25519', 'ecdsa'] });
      const cases: readonly (readonly [option: string, line: RegExp])[] = [
        [
          'KexAlgorithms=diffie-hellman-group14-sha1',
          /Unable to negotiate with 127\.0\.0\.1 port \d+: no matching key exchange method found\. Their offer: diffie-hellman-group14-sha1,ext-info-c[^ ]* \[preauth\]/,
        ],
        ['Ciphers=aes128-cbc', /: no matching cipher found\. Their offer: aes128-cbc \[preauth\]/],
        [
          'HostKeyAlgorithms=ssh-dss',
          /: no matching host key type found\. Their offer: ssh-dss \[preauth\]/,
        ],
      ];
      for (const [option, line] of cases) {
        const outcome = await ssh(server, { key, args: ['-o', option] }, 'true');
        assert.equal(outcome.status, 255);
        await server.logged(line);
      }
      const mac = await ssh(
        server,
        { key, args: ['-o', 'Ciphers=aes128-ctr', '-o', 'MACs=hmac-md5'] },
        'true',
      );
      assert.equal(mac.status, 255);
      await server.logged(/: no matching MAC found\. Their offer: hmac-md5 \[preauth\]/);
    });

    test('what only sshd has is left out, and the log says so', async () => {
      await using server = await startServer({
        config: [
          'MACs umac-128-etm@openssh.com,hmac-sha2-512-etm@openssh.com',
          'KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256',
        ],
      });
      if (server.kind === 'sshd') {
        return;
      }
      await server.logged(/MACs: not implemented and left out: umac-128-etm@openssh\.com/);
      await server.logged(/KexAlgorithms: not implemented and left out: sntrup761x25519-sha512@/);
      const outcome = await ssh(server, { key }, 'true');
      assert.equal(outcome.status, 0, outcome.stderr);
    });

    test('no host key for any algorithm is no start', async () => {
      await assert.rejects(
        startServer({
          hostKeys: ['ecdsa'],
          config: ['HostKeyAlgorithms ssh-ed25519'],
          kind: 'sshdesk',
        }),
        /no host key can serve an algorithm of HostKeyAlgorithms \(ssh-ed25519\)/,
      );
    });
  });

  describe('Compression and VersionAddendum', () => {
    async function verbose(server: TestServer, ...options: readonly string[]): Promise<string> {
      const args = ['LogLevel=DEBUG2', ...options].flatMap((option) => ['-o', option]);
      const outcome = await ssh(server, { key, args }, 'true');
      assert.equal(outcome.status, 0, outcome.stderr);
      return outcome.stderr;
    }

    test('yes: after the login; no: never', async () => {
      for (const [value, used] of [
        ['delayed', 'zlib@openssh.com'],
        ['no', 'none'],
      ] as const) {
        await using server = await startServer({ config: [`Compression ${value}`] });
        const log = await verbose(server, 'Compression=yes');
        assert.match(log, new RegExp(`kex: server->client .* compression: ${used}`));
      }
    });

    test('the addendum stands behind the identification, and the exchange holds', async () => {
      await using server = await startServer({ config: ['VersionAddendum desk of Alice #1'] });
      const log = await verbose(server);
      assert.match(log, /remote software version \S+(?: \S+)? desk of Alice #1/);
      const line = await new Promise<string>((resolve, reject) => {
        const socket = createConnection(server.port, '127.0.0.1');
        socket.once('data', (chunk: Buffer) => {
          resolve(chunk.toString('latin1'));
          socket.destroy();
        });
        socket.once('error', reject);
      });
      assert.match(line, /^SSH-2\.0-\S+(?: \S+)? desk of Alice #1\r\n/);
    });
  });

  describe('RekeyLimit', () => {
    const bytes = 24 * 1024 * 1024;
    const classes: readonly (readonly [string, readonly string[]])[] = [
      ['chacha20-poly1305', ['Ciphers=chacha20-poly1305@openssh.com']],
      ['aes256-gcm', ['Ciphers=aes256-gcm@openssh.com']],
      ['aes128-ctr etm', ['Ciphers=aes128-ctr', 'MACs=hmac-sha2-256-etm@openssh.com']],
      ['aes256-ctr mac', ['Ciphers=aes256-ctr', 'MACs=hmac-sha2-512']],
      ['aes128-gcm zlib', ['Ciphers=aes128-gcm@openssh.com', 'Compression=yes']],
    ];

    /** The pattern through `cat` there and back at once; how often keys were exchanged. */
    async function thereAndBack(
      server: TestServer,
      count: number,
      ...options: readonly string[]
    ): Promise<number> {
      const args = ['LogLevel=DEBUG1', ...options].flatMap((option) => ['-o', option]);
      const child = spawnClient('ssh', sshArguments(server, { key, args }, 'cat'));
      const sent = createHash('sha256');
      const received = createHash('sha256');
      child.stdout.on('data', (chunk: Buffer) => received.update(chunk));
      const ended = ending(child);
      const pattern = new Pattern();
      for (let left = count; left > 0; left -= 65_536) {
        const chunk = pattern.next(Math.min(left, 65_536));
        sent.update(chunk);
        if (!child.stdin.write(chunk)) {
          await new Promise((resolve) => child.stdin.once('drain', resolve));
        }
      }
      child.stdin.end();
      const { status, stderr } = await ended;
      assert.equal(status, 0, stderr.slice(-2000));
      assert.equal(received.digest('hex'), sent.digest('hex'), 'other bytes came back');
      return stderr.match(/SSH2_MSG_NEWKEYS received/g)?.length ?? 0;
    }

    function ending(
      child: ReturnType<typeof spawnClient>,
    ): Promise<{ readonly status: number | null; readonly stderr: string }> {
      let stderr = '';
      child.stderr.on('data', (chunk: Buffer) => {
        stderr += chunk.toString('latin1');
      });
      // It may end before it has read everything; its status says so.
      child.stdin.on('error', () => undefined);
      const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
      return new Promise((resolve, reject) => {
        child.once('error', reject);
        child.once('close', (status) => {
          clearTimeout(timer);
          resolve({ status, stderr });
        });
      });
    }

    describe('by bytes of both sides: the same bytes come back', () => {
      let server: TestServer;
      before(async () => {
        server = await startServer({ config: ['RekeyLimit 3M', 'MACs +hmac-sha2-512'] });
      });
      after(async () => await server?.stop());

      for (const [name, options] of classes) {
        test(name, { timeout: 90_000 }, async () => {
          const exchanges = await thereAndBack(server, bytes, 'RekeyLimit=5M', ...options);
          assert.ok(exchanges >= 5, `${exchanges} exchanges`);
        });
      }
    });

    test('of the least size: each packet has keys of its own', async () => {
      await using server = await startServer({ config: ['RekeyLimit 16'] });
      const exchanges = await thereAndBack(server, 1000);
      assert.ok(exchanges >= 4, `${exchanges} exchanges`);
    });

    test('in a Match block: from the login on, whatever holds for the others', {
      skip: serverKind === 'sshd' && 'sshd takes it there and goes by the global one',
    }, async () => {
      await using server = await startServer({
        config: ['RekeyLimit default none', 'Match User alice', 'RekeyLimit 64K'],
      });
      const many = await thereAndBack(server, 1024 * 1024);
      assert.ok(many >= 5, `${many} exchanges`);
      await using other = await startServer({
        config: ['RekeyLimit 64K', 'Match User alice', 'RekeyLimit default none'],
      });
      const one = await thereAndBack(other, 1024 * 1024);
      assert.ok(one <= 2, `${one} exchanges`);
    });

    test('by time, while nothing and while much is sent', async () => {
      await using server = await startServer({ config: ['RekeyLimit default 1'] });
      const args = ['-o', 'LogLevel=DEBUG1'];
      const outcome = await ssh(server, { key, args }, 'sleep', '3');
      assert.equal(outcome.status, 0, outcome.stderr);
      const exchanges = outcome.stderr.match(/SSH2_MSG_NEWKEYS received/g)?.length ?? 0;
      assert.ok(exchanges >= 2, `${exchanges} exchanges`);
    });
  });
});
