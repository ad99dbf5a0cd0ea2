/** Host keys from files and agents: what is taken, what is skipped and said. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { privateKeyOf } from '../../../../keys/private-key.ts';
import { publicLine } from '../../../../keys/public-key.ts';
import { verify } from '../../../../keys/signature.ts';
import { Log } from '../../../../src/audit/log.ts';
import { ConfigError } from '../../../../src/base/errors.ts';
import {
  type HostKeyFiles,
  type HostKeys,
  loadHostKeys,
} from '../../../../src/monitor/host-keys.ts';
import { Reader } from '../../../../src/ssh/wire/reader.ts';
import { Writer } from '../../../../src/ssh/wire/writer.ts';

let folder = '';
const lines: string[] = [];
const log = new Log({ write: (_level, _prefix, line) => void lines.push(line) }, 'DEBUG1');
const pair = generateKeyPairSync('ed25519');
const key = privateKeyOf(pair.privateKey);

before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'host-keys-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => void lines.splice(0));

function put(name: string, content: string, mode = 0o600): string {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
}

function pem(of: typeof pair): string {
  return of.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

async function load(changes: Partial<HostKeyFiles>, environment = {}): Promise<HostKeys> {
  return loadHostKeys(
    {
      hostKeyFiles: [],
      isHostKeyDefault: false,
      hostCertificateFiles: [],
      hostKeyAgent: 'none',
      requiredRsaSize: 1024,
      ...changes,
    },
    log,
    environment,
  );
}

test('several keys; the same one twice counts once', async () => {
  const other = generateKeyPairSync('ed25519');
  const files = [put('one', pem(pair)), put('two', pem(other)), put('again', pem(pair))];
  const keys = await load({ hostKeyFiles: files });
  assert.equal(keys.publicBlobs.length, 2);
  assert.deepEqual(keys.offeredBlobs, keys.publicBlobs);
  assert.equal(keys.find(key.publicBlob)?.type, 'ssh-ed25519');
  assert.equal(keys.find(Buffer.from('x')), undefined);
});

test('what cannot be used is told and skipped; nothing left is no start', async () => {
  const good = put('good', pem(pair));
  const open = put('open', pem(pair), 0o644);
  const garbage = put('garbage', 'nothing');
  await load({ hostKeyFiles: [open, garbage, path.join(folder, 'absent'), good] });
  assert.match(lines.join('\n'), /open' are too open/);
  assert.match(lines.join('\n'), /garbage: not a private key file/);
  assert.match(lines.join('\n'), /absent: No such file or directory/);
  await assert.rejects(load({ hostKeyFiles: [open] }), ConfigError);
});

test('RSA keys that are too short for RequiredRSASize or too costly are skipped', async () => {
  const short = generateKeyPairSync('rsa', { modulusLength: 1536 });
  const file = put('short', pem(short as never));
  await load({ hostKeyFiles: [file, put('good', pem(pair))], requiredRsaSize: 2048 });
  assert.match(lines.join('\n'), /short: Invalid key length/);
  assert.equal((await load({ hostKeyFiles: [file] })).publicBlobs.length, 1);
});

test('RSA signs in another thread as it does in this one', async () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const keys = await load({ hostKeyFiles: [put('rsa', pem(rsa as never))] });
  const [blob] = keys.publicBlobs as [Buffer];
  const data = Buffer.from('data');
  for (const algorithm of ['rsa-sha2-256', 'rsa-sha2-512']) {
    const signature = await keys.find(blob)?.sign(algorithm, data);
    assert.ok(verify(algorithm, blob, signature as Buffer, data));
  }
  await assert.rejects(async () => keys.find(blob)?.sign('ssh-ed25519', data));
});

describe('an agent', () => {
  const socket = () => path.join(folder, 'agent.sock');
  const sockets = new Set<Socket>();
  let server: Server;
  let answer: (request: Buffer) => Buffer | undefined;

  before(async () => {
    server = createServer((connection) => {
      sockets.add(connection);
      connection.on('error', () => {}); // it is closed by the other side as well
      connection.on('data', (bytes: Buffer) => {
        const reply = answer(bytes.subarray(4));
        if (reply === undefined) {
          connection.destroy();
        } else {
          // In pieces: an answer may come in any.
          connection.write(reply.subarray(0, 3));
          setImmediate(() => connection.write(reply.subarray(3)));
        }
      });
    });
    await new Promise<void>((resolve) => void server.listen(socket(), resolve));
  });
  after(() => {
    for (const one of sockets) {
      one.destroy();
    }
    server.close();
  });

  function framed(payload: Buffer): Buffer {
    return new Writer().string(payload).done();
  }

  function holding(sign: (blob: Buffer, data: Buffer) => Buffer) {
    return (request: Buffer): Buffer => {
      const from = new Reader(request, 1);
      return request[0] === 11
        ? framed(new Writer().byte(12).uint32(1).string(key.publicBlob).text('').done())
        : framed(new Writer().byte(14).string(sign(from.string(), from.string())).done());
    };
  }

  const publicFile = () => put('held.pub', `${publicLine(key.publicBlob)}\n`, 0o644);

  test('signs where only the public half is there', async () => {
    answer = holding((_blob, data) => key.sign('ssh-ed25519', data));
    publicFile();
    for (const name of ['held', 'held.pub']) {
      const keys = await load(
        {
          hostKeyFiles: [path.join(folder, name)],
          hostKeyAgent: 'SSH_AUTH_SOCK',
        },
        { SSH_AUTH_SOCK: socket() },
      );
      const data = Buffer.from('data');
      const signature = await keys.find(key.publicBlob)?.sign('ssh-ed25519', data);
      assert.ok(verify('ssh-ed25519', key.publicBlob, signature as Buffer, data));
      assert.deepEqual(lines, []);
    }
  });

  test('a private key that is there is used, and the agent is not asked', async () => {
    answer = holding(() => Buffer.alloc(0));
    publicFile();
    const keys = await load({ hostKeyFiles: [put('held', pem(pair))], hostKeyAgent: socket() });
    const signature = await keys.find(key.publicBlob)?.sign('ssh-ed25519', Buffer.from('x'));
    assert.ok(verify('ssh-ed25519', key.publicBlob, signature as Buffer, Buffer.from('x')));
    rmSync(path.join(folder, 'held'));
  });

  test('a key that it does not hold is told', async () => {
    answer = () => framed(new Writer().byte(12).uint32(0).done());
    await load({ hostKeyFiles: [publicFile()], hostKeyAgent: socket() });
    assert.match(lines.join('\n'), /held\.pub: the agent does not hold this key/);
  });

  test('a wrong signature, a refusal, a hang-up and an endless answer are errors', async () => {
    const identities = holding(() => Buffer.alloc(0));
    const cases: readonly (readonly [Buffer | undefined, RegExp])[] = [
      [
        framed(
          new Writer()
            .byte(14)
            .string(key.sign('ssh-ed25519', Buffer.from('y')))
            .done(),
        ),
        /not a signature/,
      ],
      [framed(Buffer.from([5])), /refused/],
      [undefined, /closed without an answer|ECONNRESET/],
      [Buffer.from([0xff, 0xff, 0xff, 0xff, 0]), /answer of 4294967295 bytes/],
      [Buffer.from([0, 0, 0, 0, 0]), /answer of 0 bytes/],
    ];
    for (const [reply, message] of cases) {
      answer = (request) => (request[0] === 11 ? identities(request) : reply);
      const keys = await load({ hostKeyFiles: [publicFile()], hostKeyAgent: socket() });
      await assert.rejects(
        async () => keys.find(key.publicBlob)?.sign('ssh-ed25519', Buffer.from('x')),
        { message },
      );
    }
  });

  test('without an agent a public file is no key', async () => {
    await assert.rejects(load({ hostKeyFiles: [publicFile()] }), ConfigError);
    await assert.rejects(
      load({ hostKeyFiles: [publicFile()], hostKeyAgent: 'SSH_AUTH_SOCK' }),
      ConfigError,
    );
    assert.match(lines.join('\n'), /Could not connect to agent "SSH_AUTH_SOCK"/);
  });
});
