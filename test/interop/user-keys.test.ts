/**
 * Which keys, algorithms and authorities count, and which are revoked: stock ssh against sshdesk and
 * Debian's sshd at once, the same verdict and the same lines. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { BothServers, keyLogin, type KeyLogin } from '../support/both-servers.ts';
import { type CertificateRequest, certify, type TestCertificate } from '../support/certificates.ts';
import {
  authorize,
  inLab,
  type LabUser,
  makeKey,
  makeUser,
  run,
  type TestKey,
} from '../support/lab.ts';

const lab = inLab(import.meta.url, 300_000);
const trustedFile = '/etc/ssh/trusted_user_ca';
const revokedFile = '/etc/ssh/revoked';
const oldSsh = ['-o', 'PubkeyAcceptedAlgorithms=+ssh-dss,ssh-rsa'];
let alice: LabUser;
const keys = new Map<string, TestKey>();

function keyOf(name: string): TestKey {
  const found = keys.get(name);
  assert.ok(found !== undefined, name);
  return found;
}

interface Login {
  readonly isIn: boolean;
  readonly lines: readonly string[];
}

function outcome({ printed, lines }: KeyLogin): Login {
  return { isIn: printed !== undefined, lines };
}

class Both implements AsyncDisposable {
  readonly servers: BothServers;
  private constructor(servers: BothServers) {
    this.servers = servers;
  }
  static async start(...config: readonly string[]): Promise<Both> {
    const lines = ['LogLevel VERBOSE', `TrustedUserCAKeys ${trustedFile}`, ...config];
    return new Both(await BothServers.start(lines));
  }
  /** What both say: the same. */
  async login(key: TestKey, args: readonly string[] = []): Promise<Login> {
    return outcome(await this.servers.login(key, { args }));
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.servers[Symbol.asyncDispose]();
  }
}

const all: CertificateRequest = { id: 'alice', principals: 'alice', serial: 5 };

function trust(...authorities: readonly TestKey[]): void {
  writeFileSync(trustedFile, `${authorities.map(({ line }) => line).join('\n')}\n`);
}

/** Once for the whole file, whichever part of it runs. */
function makeKeys(): void {
  if (keys.size > 0) {
    return;
  }
  alice = makeUser('alice');
  for (const [name, type, bits] of [
    ['ed25519', 'ed25519', undefined],
    ['ecdsa-256', 'ecdsa', 256],
    ['ecdsa-384', 'ecdsa', 384],
    ['ecdsa-521', 'ecdsa', 521],
    ['rsa-1024', 'rsa', 1024],
    ['rsa-2048', 'rsa', 2048],
  ] as const) {
    keys.set(name, makeKey(type, bits));
  }
  keys.set('authority', makeKey('ed25519'));
  const file = path.join(mkdtempSync('/tmp/key-'), 'id_dsa');
  run('ssh-keygen', ['-q', '-t', 'dsa', '-N', '', '-C', 'old', '-f', file]);
  keys.set('dsa', { type: 'dsa', file, line: readFileSync(`${file}.pub`, 'utf8').trim() });
  trust(keyOf('authority'));
}

describe('keys of users', lab, () => {
  before(makeKeys);

  test('a certificate of every key type, by an authority of every type', async () => {
    await using both = await Both.start();
    authorize(alice, []);
    const certified = ['ed25519', 'ecdsa-256', 'ecdsa-384', 'ecdsa-521', 'rsa-2048'];
    for (const name of certified) {
      const { isIn, lines } = await both.login(certify(keyOf('authority'), keyOf(name), all));
      assert.ok(isIn, lines.join('\n'));
    }
    for (const [name, algorithm] of [
      ['ecdsa-256', undefined],
      ['ecdsa-384', undefined],
      ['ecdsa-521', undefined],
      ['rsa-2048', 'rsa-sha2-512'],
      ['rsa-2048', 'rsa-sha2-256'],
    ] as const) {
      trust(keyOf(name));
      const request = algorithm === undefined ? all : { ...all, algorithm };
      const { isIn, lines } = await both.login(certify(keyOf(name), keyOf('ed25519'), request));
      assert.ok(isIn, `${name} ${algorithm}: ${lines.join('\n')}`);
    }
    trust(keyOf('authority'));
  });

  test('an RSA certificate signs with the algorithm that was asked for', async () => {
    await using both = await Both.start(
      'PubkeyAcceptedAlgorithms rsa-sha2-256-cert-v01@openssh.com',
    );
    const certificate = certify(keyOf('authority'), keyOf('rsa-2048'), all);
    const only = (name: string) => ['-o', `PubkeyAcceptedAlgorithms=${name}`];
    assert.ok((await both.login(certificate, only('rsa-sha2-256-cert-v01@openssh.com'))).isIn);
  });

  test('an authority that signed with SHA-1 is not believed', async () => {
    await using both = await Both.start();
    trust(keyOf('rsa-2048'));
    const old = certify(keyOf('rsa-2048'), keyOf('ed25519'), { ...all, algorithm: 'ssh-rsa' });
    const { isIn, lines } = await both.login(old, ['-o', 'CASignatureAlgorithms=+ssh-rsa']);
    assert.ok(!isIn);
    assert.ok(lines.some((line) => line.includes('certificate signature algorithm ssh-rsa')));
    trust(keyOf('authority'));
  });

  test('CASignatureAlgorithms: an authority of another algorithm is not believed', async () => {
    await using both = await Both.start('CASignatureAlgorithms ecdsa-*');
    const { isIn, lines } = await both.login(certify(keyOf('authority'), keyOf('ed25519'), all));
    assert.ok(!isIn);
    assert.ok(
      lines.some((line) => line.includes('signature algorithm ssh-ed25519')),
      lines.join(),
    );
  });

  test('PubkeyAcceptedAlgorithms: what is not listed is refused by name', async () => {
    await using both = await Both.start('PubkeyAcceptedAlgorithms -ssh-ed25519*');
    authorize(alice, [keyOf('ed25519').line, keyOf('ecdsa-256').line]);
    const refused = await both.login(keyOf('ed25519'));
    assert.ok(!refused.isIn);
    assert.deepEqual(refused.lines, [
      'userauth_pubkey: signature algorithm ssh-ed25519 not in PubkeyAcceptedAlgorithms [preauth]',
    ]);
    assert.ok((await both.login(keyOf('ecdsa-256'))).isIn);
    const certificate = certify(keyOf('authority'), keyOf('ed25519'), all);
    assert.ok(!(await both.login(certificate)).isIn);
  });

  test('an ssh-dss key is refused, the log says why, and its line breaks no other', async () => {
    await using both = await Both.start();
    authorize(alice, [
      keyOf('dsa').line,
      'ssh-unheard AAAAC3NzaC11bmhlYXJk',
      'from="10.0.0.1" ssh-dss AAAA',
      keyOf('ed25519').line,
    ]);
    const refused = await both.login(keyOf('dsa'), oldSsh);
    assert.ok(!refused.isIn);
    assert.deepEqual(refused.lines, [
      'userauth_pubkey: signature algorithm ssh-dss not in PubkeyAcceptedAlgorithms [preauth]',
    ]);
    assert.ok((await both.login(keyOf('ed25519'))).isIn);
  });

  test('RequiredRSASize: shorter ones are refused, plain and certified', async () => {
    await using both = await Both.start('RequiredRSASize 2048');
    authorize(alice, [keyOf('rsa-1024').line, keyOf('rsa-2048').line]);
    const short = ['-o', 'RequiredRSASize=1024'];
    const plain = await both.login(keyOf('rsa-1024'), short);
    assert.deepEqual(plain, {
      isIn: false,
      lines: ['refusing RSA key: Invalid key length [preauth]'],
    });
    const certificate = certify(keyOf('authority'), keyOf('rsa-1024'), all);
    assert.ok(!(await both.login(certificate, short)).isIn);
    assert.ok((await both.login(keyOf('rsa-2048'))).isIn);
  });
});

describe('keys of users beside other keywords', lab, () => {
  before(makeKeys);

  test('each keyword of keys holds in a Match block', async () => {
    const certificate = certify(keyOf('authority'), keyOf('ed25519'), all);
    trust(keyOf('authority'));
    writeFileSync('/etc/ssh/revoked_in_match', `${keyOf('ecdsa-521').line}\n`);
    authorize(
      alice,
      ['rsa-1024', 'rsa-2048', 'ecdsa-256', 'ecdsa-521'].map((name) => keyOf(name).line),
    );
    const block = [
      ...['TrustedUserCAKeys /etc/ssh/trusted_user_ca', 'RequiredRSASize 2048'],
      ...['RevokedKeys /etc/ssh/revoked_in_match', 'PubkeyAcceptedAlgorithms -ecdsa-*256'],
      'CASignatureAlgorithms ssh-ed25519',
    ];
    const verdicts: Record<string, readonly boolean[]> = {};
    for (const user of ['alice', 'bob']) {
      await using servers = await BothServers.start([
        'LogLevel VERBOSE',
        `Match User ${user}`,
        ...block,
      ]);
      const isIn: boolean[] = [];
      for (const used of [
        certificate,
        ...['rsa-1024', 'rsa-2048', 'ecdsa-256', 'ecdsa-521'].map(keyOf),
      ]) {
        const args = ['-o', 'RequiredRSASize=1024'];
        isIn.push((await servers.login(used, { args })).printed !== undefined);
      }
      verdicts[user] = isIn;
    }
    assert.deepEqual(verdicts, {
      alice: [true, false, true, false, false],
      bob: [false, true, true, true, true],
    });
  });

  test('a certificate and a key, in either order: what both restrict', async () => {
    const request = { ...all, options: ['force-command=echo forced'] };
    const certificate = certify(keyOf('authority'), keyOf('ed25519'), request);
    trust(keyOf('authority'));
    const second = keyOf('ecdsa-384');
    await using servers = await BothServers.start([
      ...['LogLevel VERBOSE', `TrustedUserCAKeys ${trustedFile}`],
      'AuthenticationMethods publickey,publickey',
    ]);
    authorize(alice, [`no-pty ${second.line}`]);
    for (const [one, other] of [
      [certificate, second],
      [second, certificate],
    ] as const) {
      const { ours, theirs } = await servers.each(one, { args: ['-i', other.file] });
      assert.equal(ours.printed, 'forced\n', ours.lines.join('\n'));
      assert.equal(theirs.printed, 'forced\n', theirs.lines.join('\n'));
    }
    authorize(alice, [`command="echo another" ${second.line}`]);
    const torn = await keyLogin(servers.ours, certificate, { args: ['-i', second.file] });
    assert.equal(torn.printed, undefined);
    assert.match(torn.lines.join('\n'), /forced command options do not match/);
  });
});

/** Makes a revocation list of a specification (ssh-keygen(1) KEY REVOCATION LISTS). */
function revoke(specification: string, authority?: TestKey): void {
  const file = path.join(mkdtempSync('/tmp/krl-'), 'specification');
  writeFileSync(file, `${specification}\n`);
  rmSync(revokedFile, { force: true });
  const by = authority === undefined ? [] : ['-s', `${authority.file}.pub`];
  run('ssh-keygen', ['-q', '-k', '-f', revokedFile, ...by, file]);
}

describe('RevokedKeys', lab, () => {
  let both: Both;
  let certificate: TestCertificate;
  let plain: TestKey;

  before(async () => {
    makeKeys();
    trust(keyOf('authority'));
    plain = keyOf('ecdsa-256');
    authorize(alice, [plain.line]);
    certificate = certify(keyOf('authority'), keyOf('ed25519'), { ...all, id: 'mine', serial: 70 });
    both = await Both.start(`RevokedKeys ${revokedFile}`);
  });

  after(async () => {
    await both[Symbol.asyncDispose]();
  });

  async function agree(expected: { readonly certificate: boolean; readonly plain: boolean }) {
    const first = await both.login(certificate);
    assert.equal(first.isIn, expected.certificate, first.lines.join('\n'));
    const second = await both.login(plain);
    assert.equal(second.isIn, expected.plain, second.lines.join('\n'));
  }

  const fingerprint = (key: TestKey) => run('ssh-keygen', ['-lf', `${key.file}.pub`]).split(' ')[1];
  const others = Array.from({ length: 40 }, (_, at) => `serial: ${1000 + 3 * at}`).join('\n');

  test('an empty file revokes nothing', async () => {
    writeFileSync(revokedFile, '');
    await agree({ certificate: true, plain: true });
  });
  test('text: a listed key, its certificate too', async () => {
    writeFileSync(revokedFile, `# gone\n${plain.line}\n`);
    await agree({ certificate: true, plain: false });
    writeFileSync(revokedFile, `${keyOf('ed25519').line}\n`);
    await agree({ certificate: false, plain: true });
  });
  test('text: a listed certificate revokes its key', async () => {
    writeFileSync(revokedFile, `${certificate.line}\n`);
    await agree({ certificate: false, plain: true });
  });
  test('text: a listed authority takes its certificates with it', async () => {
    writeFileSync(revokedFile, `${keyOf('authority').line}\n`);
    await agree({ certificate: false, plain: true });
  });
  test('list: a serial number, a range, many of them', async () => {
    for (const [specification, isRevoked] of [
      ['serial: 70', true],
      ['serial: 69', false],
      ['serial: 60-80', true],
      ['serial: 71-18446744073709551615', false],
      [`serial: 70\n${others}`, true],
      [others, false],
      ['serial: 64\nserial: 66\nserial: 67\nserial: 70\nserial: 75', true],
      ['serial: 64\nserial: 66\nserial: 67\nserial: 75', false],
    ] as const) {
      revoke(specification, keyOf('authority'));
      await agree({ certificate: !isRevoked, plain: true });
    }
  });
  test('list: a serial number of another authority', async () => {
    revoke('serial: 70', keyOf('rsa-2048'));
    await agree({ certificate: true, plain: true });
  });
  test('list: a key id', async () => {
    revoke('id: mine', keyOf('authority'));
    await agree({ certificate: false, plain: true });
    revoke('id: min', keyOf('authority'));
    await agree({ certificate: true, plain: true });
  });
  test('list: keys, SHA-1 and SHA-256 of keys', async () => {
    revoke(`key: ${plain.line}`);
    await agree({ certificate: true, plain: false });
    revoke(`sha1: ${keyOf('ed25519').line}`);
    await agree({ certificate: false, plain: true });
    revoke(`sha256: ${plain.line}\nhash: ${fingerprint(keyOf('ed25519'))}`);
    await agree({ certificate: false, plain: false });
  });
  test('list: an authority', async () => {
    revoke(`key: ${keyOf('authority').line}`);
    await agree({ certificate: false, plain: true });
  });
  for (const [name, spoil] of [
    ['cut', (list: Buffer) => list.subarray(0, -1)],
    ['with bytes behind it', (list: Buffer) => Buffer.concat([list, Buffer.of(9)])],
    [
      'with an unknown section',
      (list: Buffer) => Buffer.concat([list, Buffer.from('630000000161', 'hex')]),
    ],
    ['of another version', (list: Buffer) => Buffer.from(list).fill(9, 11, 12)],
  ] as const) {
    test(`a list ${name} refuses every key`, async () => {
      revoke('serial: 1', keyOf('authority'));
      writeFileSync(revokedFile, spoil(readFileSync(revokedFile)));
      for (const server of [both.servers.ours, both.servers.theirs]) {
        assert.ok(!outcome(await keyLogin(server, certificate)).isIn);
        const { isIn, lines } = outcome(await keyLogin(server, plain));
        assert.ok(!isIn);
        assert.match(lines.join('\n'), /^Error checking authentication key ECDSA SHA256:/);
      }
    });
  }
  test('a file that is not there, or that is malformed, refuses every key', async () => {
    const spoilers: readonly (() => void)[] = [
      () => rmSync(revokedFile),
      () => writeFileSync(revokedFile, 'what is this\n'),
      () => writeFileSync(revokedFile, `from="10.0.0.1" ${keyOf('rsa-2048').line}\n`),
    ];
    for (const spoil of spoilers) {
      spoil();
      for (const server of [both.servers.ours, both.servers.theirs]) {
        assert.ok(!outcome(await keyLogin(server, plain)).isIn);
      }
    }
  });
  test('a FIFO in its place holds nobody up', async () => {
    rmSync(revokedFile, { force: true });
    run('mkfifo', [revokedFile]);
    assert.ok(!outcome(await keyLogin(both.servers.ours, plain)).isIn);
    rmSync(revokedFile);
    writeFileSync(revokedFile, '');
    await agree({ certificate: true, plain: true });
  });
});
