/**
 * FIDO keys and their certificates with stock ssh and an authenticator in software, against sshdesk
 * and Debian's sshd at once: who gets in with which flags, and what the log says. Runs in: test, in
 * the lab.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { BothServers } from '../support/both-servers.ts';
import { certify } from '../support/certificates.ts';
import {
  authorize,
  checkout,
  inLab,
  type LabUser,
  makeKey,
  makeUser,
  run,
  type TestKey,
} from '../support/lab.ts';

const lab = inLab(import.meta.url, 300_000);
const header = '/usr/include/openssl/evp.h';
const missing = existsSync(header) ? false : `${header} is missing (libssl-dev)`;
const provider = '/tmp/sk_software.so';
const trustedFile = '/etc/ssh/trusted_user_ca';
const usesProvider = ['-o', `SecurityKeyProvider=${provider}`];

type FidoType = 'ed25519-sk' | 'ecdsa-sk';
const types: readonly FidoType[] = ['ed25519-sk', 'ecdsa-sk'];

function makeFidoKey(type: FidoType): TestKey {
  const file = path.join(mkdtempSync('/tmp/fido-'), `id_${type}`);
  run('ssh-keygen', ['-q', '-t', type, '-w', provider, '-N', '', '-C', type, '-f', file]);
  return { type, file, line: readFileSync(`${file}.pub`, 'utf8').trim() };
}

const present = 1;
const verified = 4;

/** What the authenticator says that it has seen, in front of the line of the key; is it enough? */
const lines: readonly (readonly [options: string, flags: number, isIn: boolean])[] = [
  ['', present, true],
  ['', present | verified, true],
  ['', 0, false],
  ['', verified, false],
  ['no-touch-required ', 0, true],
  ['no-touch-required ', present, true],
  ['touch-required ', 0, false],
  ['verify-required ', present, false],
  ['verify-required ', present | verified, true],
  ['verify-required ', verified, false],
  ['no-touch-required,verify-required ', verified, true],
  ['no-touch-required,verify-required ', 0, false],
];

/** PubkeyAuthOptions asks for more than the line does. */
const configured: readonly (readonly [
  config: string,
  options: string,
  flags: number,
  isIn: boolean,
])[] = [
  ['touch-required', 'no-touch-required ', 0, false],
  ['touch-required', 'no-touch-required ', present, true],
  ['verify-required', '', present, false],
  ['verify-required', 'no-touch-required ', verified, true],
  ['verify-required', '', present | verified, true],
  ['touch-required verify-required', 'no-touch-required ', verified, false],
];

/** Line of the authority (undefined: TrustedUserCAKeys), certificate options, flags, verdict. */
const certified: readonly (readonly [
  line: string | undefined,
  options: readonly string[],
  flags: number,
  isIn: boolean,
])[] = [
  [undefined, [], present, true],
  [undefined, [], 0, false],
  [undefined, ['no-touch-required'], 0, true],
  [undefined, ['verify-required'], present, false],
  [undefined, ['verify-required'], present | verified, true],
  ['cert-authority ', ['no-touch-required'], 0, false],
  ['cert-authority,no-touch-required ', [], 0, false],
  ['cert-authority,no-touch-required ', ['no-touch-required'], 0, true],
  ['cert-authority,verify-required ', [], present, false],
  ['cert-authority ', ['verify-required'], present, false],
  ['cert-authority,verify-required ', [], present | verified, true],
];

describe('FIDO keys', { ...lab, skip: lab.skip === false ? missing : lab.skip }, () => {
  let alice: LabUser;
  let both: BothServers;
  const keys = new Map<FidoType, TestKey>();
  const key = (type: FidoType): TestKey => keys.get(type) as TestKey;

  before(async () => {
    run('cc', [
      ...['-Wall', '-Wextra', '-Werror', '-O1', '-shared', '-fPIC', '-o', provider],
      ...[path.join(checkout, 'test/lab/sk_software.c'), '-lcrypto'],
    ]);
    alice = makeUser('alice');
    for (const type of types) {
      keys.set(type, makeFidoKey(type));
    }
    both = await BothServers.start(['LogLevel VERBOSE', `TrustedUserCAKeys ${trustedFile}`]);
  });
  after(async () => {
    await both[Symbol.asyncDispose]();
  });

  async function verdict(servers: BothServers, used: TestKey, flags: number): Promise<boolean> {
    const environment = { SK_SOFTWARE_FLAGS: flags.toString(16) };
    const login = await servers.login(used, { args: usesProvider, environment });
    if (login.printed === undefined) {
      assert.match(
        login.lines.join('\n'),
        /-SK(-CERT)? SHA256:\S+ signature for alice .* rejected/,
      );
    }
    return login.printed === 'ran\n';
  }

  for (const type of types) {
    for (const [options, flags, isIn] of lines) {
      test(`${type}, ${options === '' ? 'no options' : options.trim()}, flags ${flags}: ${isIn ? 'in' : 'refused'}`, async () => {
        authorize(alice, [`${options}${key(type).line}`]);
        assert.equal(await verdict(both, key(type), flags), isIn);
      });
    }
  }

  for (const [config, options, flags, isIn] of configured) {
    test(`PubkeyAuthOptions ${config}, ${options.trim()} flags ${flags}: ${isIn ? 'in' : 'refused'}`, async () => {
      await using servers = await BothServers.start([
        'LogLevel VERBOSE',
        `PubkeyAuthOptions ${config}`,
      ]);
      authorize(alice, [`${options}${key('ed25519-sk').line}`]);
      assert.equal(await verdict(servers, key('ed25519-sk'), flags), isIn);
    });
  }

  test('certificates: the touch is asked for unless certificate and line both do not', async () => {
    const authority = makeKey('ed25519');
    for (const type of types) {
      for (const [line, options, flags, isIn] of certified) {
        writeFileSync(trustedFile, line === undefined ? `${authority.line}\n` : '');
        authorize(alice, line === undefined ? [] : [`${line}${authority.line}`]);
        const certificate = certify(authority, key(type), { principals: 'alice', options });
        const what = `${type} ${line} ${options.join()} ${flags}`;
        assert.equal(await verdict(both, certificate, flags), isIn, what);
      }
    }
  });

  test('an authority on an authenticator', async () => {
    const plain = makeKey('ed25519');
    authorize(alice, []);
    for (const type of types) {
      writeFileSync(trustedFile, `${key(type).line}\n`);
      const certificate = certify(key(type), plain, { principals: 'alice', provider });
      const login = await both.login(certificate);
      assert.equal(login.printed, 'ran\n', login.lines.join('\n'));
    }
  });

  test('PubkeyAcceptedAlgorithms without sk-* refuses them', async () => {
    await using servers = await BothServers.start([
      'LogLevel VERBOSE',
      'PubkeyAcceptedAlgorithms -sk-*',
    ]);
    authorize(alice, [key('ed25519-sk').line]);
    const login = await servers.login(key('ed25519-sk'), { args: usesProvider });
    assert.deepEqual(login, {
      printed: undefined,
      lines: [
        'userauth_pubkey: signature algorithm sk-ssh-ed25519@openssh.com not in PubkeyAcceptedAlgorithms [preauth]',
      ],
    });
  });
});
