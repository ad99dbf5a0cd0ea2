import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { privateKeyOf } from '../../../../../keys/private-key.ts';
import { verify } from '../../../../../keys/signature.ts';
import { Log } from '../../../../../src/audit/log.ts';
import { MonitorRefusal } from '../../../../../src/base/errors.ts';
import { type HostKey, HostKeys, ownHostKey } from '../../../../../src/monitor/host-keys.ts';
import { signExchange } from '../../../../../src/monitor/requests/sign-exchange.ts';
import { Writer } from '../../../../../src/ssh/wire/writer.ts';
import { testConnection } from '../../../../support/monitor-connection.ts';

const version = 'SSH-2.0-sshdesk_test';
const key = privateKeyOf(generateKeyPairSync('ed25519').privateKey);
const lines: string[] = [];
const log = new Log({ write: (_level, _prefix, line) => void lines.push(line) }, 'INFO');

function requestWith(keys: readonly HostKey[], kex = ['curve25519-sha256']) {
  const serverHostKey = ['ssh-ed25519', 'ssh-ed25519-cert-v01@openssh.com'];
  return signExchange({
    hostKeys: new HostKeys(keys),
    version,
    algorithms: { kex, serverHostKey },
  });
}
const request = requestWith([ownHostKey(key)]);

function kexInit(cookie: Buffer): Buffer {
  const lists = [['curve25519-sha256'], ['ssh-ed25519'], [], [], [], [], [], [], [], []];
  const writer = new Writer().byte(20).raw(cookie);
  for (const names of lists) {
    writer.nameList(names);
  }
  return writer.bool(false).uint32(0).done();
}

function exchange(cookie: Buffer) {
  return {
    connection: 1,
    clientVersion: Buffer.from('SSH-2.0-test'),
    serverVersion: Buffer.from(version),
    clientKexInit: kexInit(randomBytes(16)),
    serverKexInit: kexInit(cookie),
    hostKey: key.publicBlob,
    kexAlgorithm: 'curve25519-sha256',
    hostKeyAlgorithm: 'ssh-ed25519',
    clientValue: randomBytes(32),
    serverValue: randomBytes(32),
    sharedSecret: randomBytes(32),
  };
}

type Values = Partial<ReturnType<typeof exchange>>;
type Signed = { readonly signature: Buffer; readonly hash: Buffer };

async function ask(
  connection: ReturnType<typeof testConnection>['connection'],
  values: Values,
): Promise<Signed> {
  return (await request.handle(connection, values as never)).values as unknown as Signed;
}

test('the signature is over the hash that the monitor computed', async () => {
  const { connection } = testConnection(log);
  const { signature, hash } = await ask(connection, exchange(connection.cookie));
  assert.equal(verify('ssh-ed25519', key.publicBlob, signature, hash), true);
  assert.deepEqual(connection.sessionId, hash);
});

test('the session identifier is that of the first exchange for ever', async () => {
  const { connection } = testConnection(log);
  const { hash } = await ask(connection, exchange(connection.cookie));
  const again = await ask(connection, exchange(connection.cookie));
  assert.notDeepEqual(again.hash, hash);
  assert.deepEqual(connection.sessionId, hash);
});

test('an old KEXINIT, played again on a new connection, is not signed', async () => {
  const victim = testConnection(log).connection;
  const recorded = exchange(victim.cookie);
  await ask(victim, recorded);
  const attacker = testConnection(log).connection;
  attacker.cookie = randomBytes(16);
  await assert.rejects(ask(attacker, recorded), MonitorRefusal);
  assert.equal(attacker.sessionId, undefined);
  await assert.rejects(ask(victim, recorded), MonitorRefusal, 'nor on its own connection');
});

const lies: readonly (readonly [name: string, change: Values])[] = [
  ['another identification', { serverVersion: Buffer.from('SSH-2.0-other') }],
  ['an exchange that was not offered', { kexAlgorithm: 'diffie-hellman-group14-sha256' }],
  ['a host key algorithm that was not offered', { hostKeyAlgorithm: 'rsa-sha2-256' }],
  ['a host key that is not ours', { hostKey: Buffer.from('other') }],
  ['no KEXINIT', { serverKexInit: Buffer.from([21]) }],
  ['a client value that is too short', { clientValue: randomBytes(31) }],
  ['a server value that is too long', { serverValue: randomBytes(33) }],
  ['a secret of zeros', { sharedSecret: Buffer.alloc(32) }],
  ['a secret that is too long', { sharedSecret: Buffer.alloc(33, 1) }],
  ['an empty secret', { sharedSecret: Buffer.alloc(0) }],
  ['a certificate that we have not', { hostKeyAlgorithm: 'ssh-ed25519-cert-v01@openssh.com' }],
];
for (const [name, change] of lies) {
  test(`${name} is not signed`, async () => {
    const { connection } = testConnection(log);
    const values = { ...exchange(connection.cookie), ...change };
    await assert.rejects(ask(connection, values), MonitorRefusal);
  });
}

test('what the configuration leaves out is not signed, whatever the KEXINIT offers', async () => {
  const { connection } = testConnection(log);
  const other = requestWith([ownHostKey(key)], ['mlkem768x25519-sha256']);
  const asked = exchange(connection.cookie);
  await assert.rejects(
    async () => other.handle(connection, asked as never),
    /an algorithm that the KEXINIT does not offer/,
  );
});

test('behind a certificate the key signs under its own name', async () => {
  const name = 'ssh-ed25519-cert-v01@openssh.com';
  const certificate = new Writer().text(name).string(randomBytes(32)).done();
  const certified = requestWith([ownHostKey(key, certificate)]);
  const { connection } = testConnection(log);
  const lists = [['curve25519-sha256'], [name], [], [], [], [], [], [], [], []];
  const init = lists
    .reduce((to, names) => to.nameList(names), new Writer().byte(20).raw(connection.cookie))
    .bool(false)
    .uint32(0)
    .done();
  const values = { serverKexInit: init, hostKey: certificate, hostKeyAlgorithm: name };
  const answer = await certified.handle(connection, {
    ...exchange(connection.cookie),
    ...values,
  } as never);
  const { signature, hash } = answer.values as unknown as Signed;
  assert.equal(verify('ssh-ed25519', key.publicBlob, signature, hash), true);
  assert.equal(connection.hostKeyAlgorithm, 'ssh-ed25519');
});

test('a key that cannot sign fails that exchange, the cookie is spent', async () => {
  const broken: HostKey = {
    ...ownHostKey(key),
    sign: () => Promise.reject(new Error('agent refused operation')),
  };
  const { connection } = testConnection(log);
  const { cookie } = connection;
  await assert.rejects(
    async () => requestWith([broken]).handle(connection, exchange(cookie) as never),
    { name: 'CallFailure' },
  );
  assert.notDeepEqual(connection.cookie, cookie);
  assert.match(lines.at(-1) ?? '', /ssh-ed25519: agent refused operation/);
});

test('before a login a host key signs a bounded number of times', async () => {
  const { connection } = testConnection(log);
  for (let count = 0; count < 32; count++) {
    await ask(connection, exchange(connection.cookie));
  }
  await assert.rejects(ask(connection, exchange(connection.cookie)), MonitorRefusal);
});
