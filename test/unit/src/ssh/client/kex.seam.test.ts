/**
 * The client's key exchange against servers that speak too early, show what is not theirs, or sign
 * something else: nobody is asked about such a key, and no login begins.
 */
import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { describe, test } from 'node:test';
import { wholeOffer } from '../../../../../src/ssh/client/algorithm-options.ts';
import { ClientFailure } from '../../../../../src/ssh/client/failure.ts';
import { openSession } from '../../../../../src/ssh/client/session.ts';
import { EagerServer, type EagerServerOptions } from '../../../../support/eager-server.ts';
import { makeHostKey, signatureBlob } from '../../../../support/exchange-signer.ts';
import { forge } from '../../../../support/forged-certificate.ts';
import { payload, str, u32 } from '../../../../support/raw-ssh.ts';

const key = makeHostKey('ssh-ed25519');
const other = makeHostKey('ssh-ed25519');
const honest = { key, hostKeyAlgorithm: 'ssh-ed25519' };
const accept = payload(6, str('ssh-userauth'));
const success = payload(52);

interface Seen {
  readonly asked: Buffer[];
  readonly logins: string[];
  readonly server: EagerServer;
  readonly outcome: Promise<unknown>;
}

/** `answer`: what the person says of the key. */
function meet(options: EagerServerOptions, answer: () => Promise<boolean>): Seen {
  const [near, far] = duplexPair();
  for (const end of [near, far]) end.on('error', () => undefined);
  const asked: Buffer[] = [];
  const logins: string[] = [];
  const server = new EagerServer(far, options);
  const outcome = openSession({
    socket: near,
    offer: wholeOffer,
    verifyHostKey(blob) {
      asked.push(blob);
      return answer();
    },
    planUserauth() {
      logins.push('begun');
      return Promise.reject(new ClientFailure('usage', 'far enough'));
    },
    onBanner: () => logins.push('banner'),
    handshakeTimeoutMs: 10_000,
    keepaliveIntervalMs: 0,
    keepaliveCountMax: 3,
  }).then(
    () => 'logged in',
    (error: unknown) => error,
  );
  return { asked, logins, server, outcome };
}

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
};

async function refusedFor(expected: RegExp, seen: Seen, kind = 'host-key'): Promise<void> {
  const error = await seen.outcome;
  assert.ok(error instanceof ClientFailure, String(error));
  assert.match(error.detail, expected);
  assert.equal(error.kind, kind);
  assert.deepEqual(seen.logins, []);
}

describe('before the host key is accepted', () => {
  const early = [accept, payload(53, str('hello'), str('')), success];

  test('what the server says behind its keys waits, and goes with a refusal', async () => {
    const answered = Promise.withResolvers<boolean>();
    const seen = meet({ ...honest, behindKeys: early }, () => answered.promise);
    while (seen.asked.length === 0) await turns(1);
    await turns(20);
    assert.deepEqual([seen.logins, seen.server.heard], [[], []]);
    answered.resolve(false);
    await refusedFor(/verification failed/, seen);
    assert.ok(
      seen.server.heard.every((number) => number === 1),
      'nothing but a goodbye',
    );
  });

  test('it is heard once the key is accepted', async () => {
    const answered = Promise.withResolvers<boolean>();
    const extensions = payload(7, u32(1), str('server-sig-algs'), str('ssh-ed25519'));
    const seen = meet({ ...honest, behindKeys: [extensions] }, () => answered.promise);
    while (seen.asked.length === 0) await turns(1);
    await turns(5);
    assert.deepEqual(seen.logins, []);
    answered.resolve(true);
    const error = await seen.outcome;
    assert.ok(error instanceof ClientFailure && error.detail === 'far enough');
    assert.deepEqual(seen.logins, ['begun']);
    assert.equal(seen.server.heard[0], 5, 'the service was asked for under the new keys');
  });

  test('a success that nobody asked for makes no session of it', async () => {
    const behindKeys = [success];
    const seen = meet({ ...honest, behindKeys }, () => Promise.resolve(true));
    const error = await seen.outcome;
    assert.ok(error instanceof ClientFailure, String(error));
    assert.match(error.detail, /what was not asked|far enough/);
  });

  test('a server that goes on and on is left', async () => {
    const never = new Promise<boolean>(() => undefined);
    const behindKeys = Array.from({ length: 17 }, () => payload(2, str('noise')));
    const seen = meet({ ...honest, behindKeys }, () => never);
    await refusedFor(/goes on before its key is accepted/, seen, 'connection');
  });
});

describe('nobody is asked about a key', () => {
  const yes = () => Promise.resolve(true);
  const certificateType = 'ssh-ed25519-cert-v01@openssh.com';
  const certificate = forge(
    { key: key.blob, certificateType, subject: 2, principals: ['desk'] },
    {
      publicBlob: other.blob,
      sign: (data) => signatureBlob(other, 'ssh-ed25519', data),
    },
  );
  const certified = { key, hostKeyAlgorithm: certificateType, shown: certificate };
  const rows: readonly (readonly [string, EagerServerOptions, RegExp, string?])[] = [
    [
      'whose private half the server has not',
      { ...honest, shown: other.blob },
      /has not the private key/,
    ],
    [
      'when something else was signed',
      { ...honest, signed: () => Buffer.alloc(32, 7) },
      /has not the private key/,
    ],
    [
      'of another type than was agreed on',
      { ...honest, shown: certificate },
      /another type than was agreed on/,
    ],
    [
      'in place of the certificate that was agreed on',
      { ...certified, shown: key.blob },
      /another type than was agreed on/,
    ],
    [
      'within a certificate, whose private half the server has not',
      { ...certified, key: other },
      /has not the private key/,
    ],
    [
      'within a certificate that is cut off',
      { ...certified, shown: certificate.subarray(0, 60) },
      /cannot be read/,
    ],
    [
      'behind a packet in front of the exchange (strict key exchange)',
      { ...honest, first: [payload(2, str('noise'))] },
      /KEXINIT not first packet in strict KEX mode/,
      'connection',
    ],
  ];
  for (const [what, options, expected, kind] of rows) {
    test(what, async () => {
      const seen = meet(options, yes);
      await refusedFor(expected, seen, kind);
      assert.deepEqual(seen.asked, []);
    });
  }

  test('but about a certificate whose key signed, whoever its authority is', async () => {
    const seen = meet(certified, yes);
    const error = await seen.outcome;
    assert.ok(error instanceof ClientFailure && error.detail === 'far enough', String(error));
    assert.deepEqual(seen.asked, [certificate]);
  });
});
