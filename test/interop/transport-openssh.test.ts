/** The transport with the stock OpenSSH client: each algorithm, and bulk with rekeys. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { checkEngineShape } from '../../src/ssh/transport/ssh2-shape.ts';
import {
  cipherAlgorithms,
  compressionAlgorithms,
  hostKeyAlgorithms,
  kexAlgorithms,
  macAlgorithms,
} from '../../src/ssh/wire/algorithms.ts';
import { everyHostKeyType, makeHostKey } from '../support/exchange-signer.ts';
import {
  Pattern,
  patternDigest,
  type Served,
  settingsFor,
  TransportServer,
} from '../support/transport-server.ts';

const keys = everyHostKeyType.map(makeHostKey);
const folder = mkdtempSync(join(tmpdir(), 'transport-'));
const known = (query: string): ReadonlySet<string> => {
  const answer = spawnSync('ssh', ['-Q', query], { encoding: 'utf8', timeout: 5000 });
  return new Set((answer.stdout ?? '').split('\n'));
};
const isMissing = spawnSync('ssh', ['-V'], { timeout: 5000 }).error ? 'no ssh here' : false;
const clientKex = isMissing ? new Set<string>() : known('kex');
let server: TransportServer;
let rekeying: TransportServer;

before(async () => {
  checkEngineShape();
  server = await TransportServer.listen(keys, settingsFor(keys));
  rekeying = await TransportServer.listen(keys, settingsFor(keys, { rekeyBytes: 9e6 }));
});
after(async () => {
  assert.deepEqual([...server.bugs, ...rekeying.bugs], []);
  await server.close();
  await rekeying.close();
  rmSync(folder, { recursive: true });
});

interface Run {
  readonly status: number | null;
  readonly digest: string;
  readonly bytes: number;
  readonly log: string;
  readonly served: Served;
}

async function ssh(
  to: TransportServer,
  options: Record<string, string>,
  command: string,
  uploadBytes = 0,
): Promise<Run> {
  const knownHosts = join(folder, `known_hosts_${to.port}`);
  const lines = keys.map(
    (key) => `[127.0.0.1]:${to.port} ${key.type} ${key.blob.toString('base64')}`,
  );
  writeFileSync(knownHosts, `${lines.join('\n')}\n`);
  const all = {
    UserKnownHostsFile: knownHosts,
    GlobalKnownHostsFile: '/dev/null',
    StrictHostKeyChecking: 'yes',
    IdentityFile: '/dev/null',
    BatchMode: 'yes',
    ...options,
  };
  const flags = Object.entries(all).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const arguments_ = [
    '-F',
    'none',
    '-vv',
    '-p',
    String(to.port),
    ...flags,
    'user@127.0.0.1',
    command,
  ];
  const child = spawn('ssh', arguments_, { stdio: 'pipe', timeout: 60_000, killSignal: 'SIGKILL' });
  const hash = createHash('sha256');
  let bytes = 0;
  let log = '';
  child.stdout.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    log += chunk.toString('latin1');
  });
  // The child may end before it has read everything; its status says so.
  child.stdin.on('error', () => {});
  const pattern = new Pattern();
  for (let left = uploadBytes; left > 0; left -= 32_768) {
    if (!child.stdin.write(pattern.next(Math.min(32_768, left)))) {
      await new Promise((resolve) => child.stdin.once('drain', resolve));
    }
  }
  child.stdin.end();
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  const served = to.served.at(-1) as Served;
  return { status, digest: hash.digest('hex'), bytes, log, served };
}

async function agrees(options: Record<string, string>, words: readonly string[]): Promise<Run> {
  const run = await ssh(server, options, 'true');
  assert.equal(run.status, 0, run.log);
  for (const word of words) {
    assert.ok(run.log.includes(word), `${word} is not in:\n${run.log}`);
  }
  return run;
}

describe('each algorithm', { skip: isMissing, timeout: 120_000 }, () => {
  for (const { name } of kexAlgorithms) {
    const skip = clientKex.has(name) ? false : `this ssh has no ${name}`;
    test(`kex ${name}`, { skip }, async () => {
      const run = await agrees({ KexAlgorithms: name }, [
        `kex: algorithm: ${name}`,
        'kex_input_ext_info: server-sig-algs=<ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256>',
      ]);
      assert.equal(run.served.signer.exchanges[0]?.kexAlgorithm, name);
      assert.ok(run.served.transport.peerVersion.startsWith('SSH-2.0-OpenSSH_'));
    });
  }
  for (const { name } of hostKeyAlgorithms.filter((row) => row.name === row.signature)) {
    test(`host key ${name}`, async () => {
      const words = [`kex: host key algorithm: ${name}`];
      const run = await agrees({ HostKeyAlgorithms: name }, words);
      assert.equal(run.served.signer.exchanges[0]?.hostKeyAlgorithm, name);
    });
  }
  for (const cipher of cipherAlgorithms) {
    for (const mac of cipher.authenticates ? [undefined] : macAlgorithms) {
      for (const compression of compressionAlgorithms) {
        const macName = mac?.name ?? '<implicit>';
        test(`${cipher.name}, ${macName}, ${compression.name}`, async () => {
          const options: Record<string, string> = {
            Ciphers: cipher.name,
            Compression: compression.name === 'none' ? 'no' : 'yes',
            ...(mac === undefined ? {} : { MACs: mac.name }),
          };
          const line = `cipher: ${cipher.name} MAC: ${macName} compression: ${compression.name}`;
          const bytes = 300_000;
          const run = await ssh(server, options, `both ${bytes}`, bytes);
          assert.equal(run.status, 0, run.log);
          assert.ok(run.log.includes(`client->server ${line}`), run.log);
          assert.ok(run.log.includes(`server->client ${line}`), run.log);
          assert.equal(run.digest, patternDigest(bytes));
          assert.ok(run.log.includes(patternDigest(bytes)), 'the upload differs');
        });
      }
    }
  }
  test('a weak or unknown method is not offered', async () => {
    for (const options of [
      { KexAlgorithms: 'diffie-hellman-group14-sha1' },
      { KexAlgorithms: 'diffie-hellman-group-exchange-sha256' },
      { Ciphers: 'aes128-cbc' },
      { Ciphers: 'aes128-ctr', MACs: 'hmac-sha1' },
    ] as Record<string, string>[]) {
      const run = await ssh(server, options, 'true');
      assert.equal(run.status, 255);
      assert.match(run.log, /no matching .* found/);
    }
  });
});

describe('bulk with rekeys by both sides', { skip: isMissing, timeout: 300_000 }, () => {
  const bytes = 104_857_600;
  const digest = patternDigest(bytes);
  const cases: [string, Record<string, string>][] = [
    ['chacha20-poly1305@openssh.com', { RekeyLimit: '7M' }],
    ['aes128-gcm@openssh.com', { RekeyLimit: '7M' }],
    ['aes256-ctr', { RekeyLimit: '7M', MACs: 'hmac-sha2-512-etm@openssh.com' }],
    ['aes128-ctr', { MACs: 'hmac-sha2-256', Compression: 'yes' }],
  ];
  for (const [cipher, options] of cases) {
    for (const [direction, command, up, down] of [
      ['down', `source ${bytes}`, 0, bytes],
      ['up', 'sink', bytes, 0],
      ['both ways', `both ${bytes}`, bytes, bytes],
    ] as const) {
      test(`${cipher}: 100 MiB ${direction} are the same bytes`, async () => {
        const run = await ssh(rekeying, { Ciphers: cipher, ...options }, command, up);
        assert.equal(run.status, 0, run.log.slice(-2000));
        assert.equal(run.bytes, down);
        if (down > 0) {
          assert.equal(run.digest, digest);
        }
        if (up > 0) {
          assert.equal(run.served.session.sunkBytes, up);
          assert.ok(run.log.includes(digest), 'the upload differs');
        }
        const count = run.served.signer.exchanges.length;
        assert.ok(count >= 8, `${count} exchanges`);
      });
    }
  }
  test('rekeys by the count of packets, of either direction', async () => {
    const counted = await TransportServer.listen(keys, settingsFor(keys, { rekeyPackets: 100 }));
    const share = bytes / 8;
    for (const [command, up, down] of [
      [`source ${share}`, 0, share],
      ['sink', share, 0],
      [`both ${share}`, share, share],
    ] as const) {
      const run = await ssh(counted, { Ciphers: 'aes128-gcm@openssh.com' }, command, up);
      assert.equal(run.status, 0, run.log.slice(-2000));
      assert.equal(run.bytes, down);
      assert.equal(run.served.session.sunkBytes, up);
      assert.equal(run.digest, patternDigest(down));
      const count = run.served.signer.exchanges.length;
      assert.ok(count >= 3, `${command}: ${count} exchanges`);
    }
    await counted.close();
  });
  test('rekeys by time', async () => {
    const timed = await TransportServer.listen(keys, settingsFor(keys, { rekeyMs: 30 }));
    const run = await ssh(timed, {}, `both ${bytes / 4}`, bytes / 4);
    assert.equal(run.status, 0, run.log.slice(-2000));
    assert.equal(run.digest, patternDigest(bytes / 4));
    assert.ok(run.served.signer.exchanges.length >= 3);
    await timed.close();
  });
});
