/**
 * Logins with keys of which an X.509 certificate says whose they are: stock ssh, certificates by
 * openssl, and the card itself by `ssh -I`. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Card, noCard } from '../support/card.ts';
import {
  CardAuthority,
  type CardKey,
  dayMs,
  forLogin,
  makeCardKey,
  upn,
  type Wanted,
} from '../support/card-authority.ts';
import { run } from '../support/child.ts';
import {
  authorize,
  checkout,
  inLab,
  type LabUser,
  makeKey,
  makeUser,
  type TestKey,
} from '../support/lab.ts';
import { certify } from '../support/certificates.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { type ClientOutcome, ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 240_000);
const folder = '/etc/sshdesk';
const authorities = `${folder}/card_authorities.pem`;
const lists = `${folder}/card_revocations.pem`;
const subjects = `${folder}/card_subjects`;
const ofAlice: Wanted = { extensions: [...forLogin, upn('alice@EXAMPLE.COM')] };

describe('a key with an X.509 certificate', lab, () => {
  let server: TestServer;
  let root: CardAuthority;
  let key: CardKey;
  let alice: LabUser;
  let ca: TestKey;

  before(async () => {
    mkdirSync(`${folder}/cards`, { recursive: true });
    alice = makeUser('alice');
    makeUser('bob');
    root = new CardAuthority('Cards');
    key = makeCardKey();
    ca = makeKey('ed25519');
    writeFileSync(`${folder}/user_ca.pub`, `${ca.line}\n`);
    writeFileSync(authorities, root.certificate);
    writeFileSync(lists, root.list());
    writeFileSync(subjects, '# who has which card\nroot CN=Alice the Admin,O=Lab\n');
    server = await startServer({
      config: [
        ...['UsePAM yes', 'LogLevel VERBOSE', 'PermitRootLogin yes'],
        `TrustedUserCAKeys ${folder}/user_ca.pub`,
      ],
      desktopConfig: [
        ...[`CardCertificates ${authorities}`, `CardRevocationList ${lists}`],
        `CardCertificateFiles ${folder}/cards/%u.pem .ssh/card.pem`,
        ...['CardMapping upn example.com', 'CardMapping email example.org'],
        `CardMapping subject ${subjects}`,
        ...['Match User bob', 'CardRevocationList none', 'CardMapping cn'],
      ],
    });
  });
  after(async () => server?.stop());
  beforeEach(() => {
    for (const user of ['alice', 'bob', 'root']) {
      rmSync(`${folder}/cards/${user}.pem`, { force: true });
    }
    authorize(alice, []);
  });

  const login = async (user: string, withKey: CardKey, args: readonly string[] = []) =>
    ssh(server, { user, key: withKey, args }, 'id -un');
  const put = (user: string, text: string) => writeFileSync(`${folder}/cards/${user}.pem`, text);
  const isIn = (user: string, { status, text, stderr }: ClientOutcome) =>
    assert.deepEqual([status, text], [0, `${user}\n`], `${stderr}\n${server.log()}`);
  const refused = async ({ status, stderr }: ClientOutcome, reason: RegExp) => {
    assert.equal(status, 255, stderr);
    assert.match(stderr, /Permission denied/);
    await server.logged(reason);
  };

  test('opens the account that it names, without a line in authorized_keys', async () => {
    put('alice', root.certify(key, ofAlice));
    isIn('alice', await login('alice', key));
    await server.logged(
      /Accepted card certificate serial [0-9A-F]+, subject "CN=Alice,O=Lab" of \/etc\/sshdesk\/cards\/alice.pem, made by "CN=Cards,O=Lab"/,
    );
    await server.logged(/Accepted publickey for alice .* ssh2: ECDSA SHA256:/);
  });

  test('does not open another account, whichever name it has there', async () => {
    const pem = root.certify(key, ofAlice);
    put('bob', pem);
    put('root', pem);
    await refused(
      await login('bob', key),
      /Card certificate refused for bob: serial [0-9A-F]+, subject "CN=Alice,O=Lab" of \S+: CardMapping \(cn\) does not name this account; it has UPN "alice@EXAMPLE.COM", CN "Alice"/,
    );
    await refused(await login('root', key), /Card certificate refused for root: .*UPN/);
  });

  test('names of every kind, and names that only look like one', async () => {
    const email = (value: string) => [...forLogin, `subjectAltName=email:${value}`];
    const cases: readonly (readonly [string, Wanted, boolean])[] = [
      ['alice', { extensions: email('alice@example.org') }, true],
      ['alice', { extensions: email('alice@EXAMPLE.ORG') }, true],
      ['alice', { extensions: email('Alice@example.org') }, false],
      ['alice', { extensions: email('alice@example.org.evil.net') }, false],
      ['alice', { extensions: email('bob@example.org') }, false],
      // The subject is what the person wrote into the request.
      ['alice', { subject: '/CN=alice/emailAddress=alice@example.org' }, false],
      ['alice', { extensions: [...forLogin, upn('alice@example.com@evil.net')] }, false],
      ['alice', { extensions: [...forLogin, upn('alice@example.org')] }, false],
      [
        'alice',
        {
          extensions: [
            ...forLogin,
            `${upn('alice@example.com')},${upn('bob@example.com').slice(15)}`,
          ],
        },
        false,
      ],
      ['alice', { subject: '/O=Lab/CN=nobody at all' }, false],
      ['bob', { subject: '/O=Lab/CN=bob' }, true],
      ['bob', { subject: '/CN=bob/CN=alice' }, false],
      ['root', { subject: '/O=Lab/CN=Alice the Admin' }, true],
      ['root', { subject: '/CN=Alice the Admin,O=Lab' }, false],
      ['root', { extensions: [...forLogin, upn('root@example.com')] }, false],
      ['root', { extensions: email('root@example.org') }, false],
    ];
    for (const [user, wanted, isTaken] of cases) {
      put(user, root.certify(key, wanted));
      const outcome = await login(user, key);
      assert.equal(
        outcome.status === 0,
        isTaken,
        `${user} ${JSON.stringify(wanted)}\n${server.log()}`,
      );
    }
  });

  test('a key of authorized_keys counts only while its certificate does', async () => {
    authorize(alice, [key.line]);
    isIn('alice', await login('alice', key));
    put(
      'alice',
      root.certify(key, {
        ...ofAlice,
        fromMs: Date.now() - 2 * dayMs,
        untilMs: Date.now() - dayMs,
      }),
    );
    await refused(
      await login('alice', key),
      /Card certificate refused for alice: .*: expired at 20/,
    );
    // A renewed one beside it.
    const renewed = root.certify(key, ofAlice);
    put('alice', `${root.certify(key, { ...ofAlice, untilMs: Date.now() - 1000 })}${renewed}`);
    isIn('alice', await login('alice', key));
    root.revoke(renewed);
    writeFileSync(lists, root.list());
    await refused(
      await login('alice', key),
      /Card certificate refused for alice: .*: revoked at 20/,
    );
    // The same key, certified again, is still a key whose certificate was revoked.
    put('alice', `${renewed}${root.certify(key, ofAlice)}`);
    await refused(
      await login('alice', key),
      /Card certificate refused for alice: .*: revoked at 20/,
    );
    // Other keys of the user are not concerned.
    const plain = makeCardKey();
    authorize(alice, [plain.line]);
    isIn('alice', await login('alice', plain));
  });

  test('an SSH certificate of the key does not get round it', async () => {
    const own = makeCardKey();
    const certified = certify(ca, own, { principals: 'alice' });
    isIn('alice', await login('alice', certified));
    put('alice', root.certify(own, { ...ofAlice, untilMs: Date.now() - 1000 }));
    await refused(await login('alice', certified), /for alice: .*: expired at 20/);
  });

  test('the options of its line in authorized_keys hold', async () => {
    const own = makeCardKey();
    put('alice', root.certify(own, ofAlice));
    authorize(alice, [`command="echo forced" ${own.line}`]);
    const forced = await login('alice', own);
    assert.deepEqual([forced.status, forced.text], [0, 'forced\n'], forced.stderr);
    authorize(alice, [`from="192.0.2.1" ${own.line}`]);
    await refused(
      await login('alice', own),
      /Card certificate not used for alice: authorized keys refuse its key here/,
    );
    // Nobody knows what it says of the key.
    authorize(alice, ['# nothing']);
    chmodSync(`${alice.home}/.ssh/authorized_keys`, 0o666);
    await refused(
      await login('alice', own),
      /bad ownership or modes for file [^]*Card certificate not used for alice: authorized keys/,
    );
    authorize(alice, []);
    isIn('alice', await login('alice', own));
  });

  test('a list that has expired or is another’s refuses all, and Match may ask for none', async () => {
    const own = makeCardKey();
    put('alice', root.certify(own, ofAlice));
    put('bob', root.certify(own, { subject: '/CN=bob' }));
    writeFileSync(
      lists,
      root.list({ fromMs: Date.now() - 2 * dayMs, untilMs: Date.now() - dayMs }),
    );
    await refused(await login('alice', own), /: the revocation list has expired at 20/);
    isIn('bob', await login('bob', own));
    writeFileSync(lists, new CardAuthority('Other').list());
    await refused(
      await login('alice', own),
      /: there is no revocation list of its authority CN=Cards/,
    );
    writeFileSync(lists, 'garbage\n');
    await refused(await login('alice', own), /card_revocations.pem: no revocation list in it/);
    rmSync(lists);
    await refused(await login('alice', own), /card_revocations.pem: ENOENT/);
    writeFileSync(lists, root.list());
    isIn('alice', await login('alice', own));
  });

  test('a file that cannot be read or understood refuses every key of its user', async () => {
    const plain = makeCardKey();
    authorize(alice, [plain.line]);
    isIn('alice', await login('alice', plain));
    put('alice', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    await refused(
      await login('alice', plain),
      /refused: card certificates \/etc\/sshdesk\/cards\/alice.pem: certificate 1: /,
    );
    put('alice', `${root.certify(key, ofAlice)}${'x'.repeat(300_000)}`);
    await refused(await login('alice', plain), /Authentication refused: .*alice.pem/);
    put('alice', root.certify(makeCardKey(), ofAlice));
    isIn('alice', await login('alice', plain));
    chmodSync(`${folder}/cards/alice.pem`, 0o666);
    await refused(
      await login('alice', plain),
      /Authentication refused: bad ownership or modes for file \/etc\/sshdesk\/cards\/alice.pem/,
    );
    chmodSync(`${folder}/cards/alice.pem`, 0o644);
  });

  test('RequiredRSASize and AuthenticationMethods hold for it', async () => {
    const short = makeCardKey('RSA:2048');
    put('alice', root.certify(short, ofAlice));
    isIn('alice', await login('alice', short));
    const desktopConfig = [`CardCertificates ${authorities}`, 'CardMapping upn example.com'];
    await using strict = await startServer({
      config: ['RequiredRSASize 3072'],
      desktopConfig,
    });
    const refusedLogin = await ssh(strict, { user: 'alice', key: short }, 'true');
    assert.equal(refusedLogin.status, 255);
    await strict.logged(/refusing RSA key: Invalid key length/);
    await using both = await startServer({
      config: ['AuthenticationMethods publickey,publickey'],
      desktopConfig,
    });
    const once = await ssh(both, { user: 'alice', key: short }, 'true');
    assert.equal(once.status, 255);
    await both.logged(/refusing previously-used RSA key/);
  });

  test('-t tells which of the files is wrong', async () => {
    const place = mkdtempSync('/tmp/card-check-');
    const [config, own, expired] = ['sshd_config', 'sshdesk_config', 'expired.pem'].map((name) =>
      path.join(place, name),
    ) as [string, string, string];
    writeFileSync(config, `HostKey ${server.folder}/host_ed25519\n`);
    writeFileSync(
      expired,
      root.list({ fromMs: Date.now() - 2 * dayMs, untilMs: Date.now() - dayMs }),
    );
    const checked = async (...lines: readonly string[]): Promise<string> => {
      writeFileSync(own, `${lines.join('\n')}\n`);
      const { code, stderr } = await run(path.join(checkout, 'sshdesk'), [
        ...['serve', '-t', '-f', config, '--desktop-config', own],
      ]);
      assert.equal(code, 0, stderr);
      return stderr;
    };
    const good = [`CardCertificates ${authorities}`, `CardMapping subject ${subjects}`];
    assert.equal(await checked(...good, `CardRevocationList ${lists}`), '');
    const text = await checked(
      ...[`CardCertificates ${lists}`, `CardRevocationList ${expired}`],
      `CardMapping subject ${place}/none`,
    );
    assert.match(text, /CardCertificates \S+: no certificate in it; cards are refused until/);
    assert.match(text, /CardRevocationList \S+: that of CN=Cards,O=Lab has expired at 20/);
    assert.match(text, /CardMapping subject \S+none: ENOENT/);
  });

  test('the card itself, by ssh -I', { skip: noCard() ?? false }, async () => {
    const card = new Card();
    card.makeKey('rsa:2048', '01');
    card.makeKey('EC:prime256v1', '02');
    const args = [
      ...['-o', 'IdentitiesOnly=no', '-o', `PKCS11Provider=${card.module}`],
      ...['-o', 'PreferredAuthentications=publickey'],
    ];
    const viaCard = () =>
      ssh(server, { user: 'alice', args, environment: card.environment() }, 'id -un');
    assert.equal((await viaCard()).status, 255);
    for (const line of card.keys()) {
      put('alice', root.certifyPublic(line, ofAlice));
      isIn('alice', await viaCard());
    }
  });
});
