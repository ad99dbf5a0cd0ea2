/**
 * `sshdesk connect --pkcs11` against the server: keys of every kind on a card (SoftHSM), the PIN typed
 * on a terminal or a pad. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Card, noCard } from '../support/card.ts';
import { CardLogins, countOf, keyOnly, listedOn, prompt } from '../support/card-logins.ts';
import { Child, eventually } from '../support/child.ts';
import { authorize, checkout, findUser, inLab, makeUser } from '../support/lab.ts';
import { placesOf } from '../support/memory-places.ts';
import { allProcesses } from '../support/server.ts';
import { openTerminal } from '../support/terminal.ts';

const lab = inLab(import.meta.url, 240_000);
const missing = noCard();
const kinds = [
  ['rsa:2048', 'ssh-rsa', 'RSA'],
  ['EC:prime256v1', 'ecdsa-sha2-nistp256', 'ECDSA'],
  ['EC:secp384r1', 'ecdsa-sha2-nistp384', 'ECDSA'],
  ['EC:secp521r1', 'ecdsa-sha2-nistp521', 'ECDSA'],
  ['EC:edwards25519', 'ssh-ed25519', 'ED25519'],
] as const;

describe('connect with a smart card', {
  ...lab,
  skip: lab.skip === false ? (missing ?? false) : lab.skip,
}, () => {
  let logins: CardLogins;
  before(async () => {
    logins = await CardLogins.start(kinds.map(([kind]) => kind));
  });
  after(() => logins?.server.stop());

  for (const [index, [kind, type, logged]] of kinds.entries()) {
    test(`${kind}: the PIN is asked once, by name, and not shown`, async () => {
      assert.ok(logins.lines[index]?.startsWith(`${type} `));
      const terminal = logins.onTerminal(logins.words(`only${index}`, ...logins.provider));
      await terminal.shows(prompt);
      terminal.type(`${logins.card.pin}\r`);
      assert.equal(await terminal.ended, 0, terminal.shown());
      assert.equal(terminal.shown().match(/Enter PIN/g)?.length, 1);
      assert.ok(!terminal.shown().includes(logins.card.pin));
      await logins.server.logged(
        new RegExp(`Accepted publickey for only${index} .* ssh2: ${logged} SHA256:`),
      );
    });
  }

  test('the card is touched for one signature, with the key that the server takes', async () => {
    const faulty = logins.withFaults('only3', {});
    await faulty.terminal.shows(prompt);
    assert.equal(countOf(faulty, 'C_SignInit'), 0);
    faulty.terminal.type(`${logins.card.pin}\r`);
    assert.equal(await faulty.terminal.ended, 0, faulty.terminal.shown());
    assert.equal(countOf(faulty, 'C_Login'), 1);
    assert.equal(countOf(faulty, 'C_Sign'), 1);
  });

  test('where no key of it is taken nobody is asked, and nothing is signed', async () => {
    const faulty = logins.withFaults('nokeys', {}, ...keyOnly);
    assert.equal(await faulty.terminal.ended, 5, faulty.terminal.shown());
    assert.doesNotMatch(faulty.terminal.shown(), /PIN/);
    assert.equal(countOf(faulty, 'C_Login') + countOf(faulty, 'C_SignInit'), 0);
  });

  test('a wrong PIN is tried once, and another method goes on', async () => {
    authorize(findUser('nokeys'), logins.lines);
    const faulty = logins.withFaults('nokeys', {});
    await faulty.terminal.shows(prompt);
    faulty.terminal.type('000000\r');
    await faulty.terminal.shows(/the PIN is wrong; it was not tried again \(CKR_PIN_INCORRECT\)/);
    await faulty.terminal.shows(/[Pp]assword: /);
    faulty.terminal.type('let me in\r');
    assert.equal(await faulty.terminal.ended, 0, faulty.terminal.shown());
    assert.equal(countOf(faulty, 'C_Login'), 1);
    assert.equal(faulty.terminal.shown().match(/Enter PIN/g)?.length, 1);
  });

  test('an empty answer is no PIN: the card is not asked', async () => {
    const faulty = logins.withFaults('only1', {}, ...keyOnly);
    await faulty.terminal.shows(prompt);
    faulty.terminal.type('\r');
    assert.equal(await faulty.terminal.ended, 5, faulty.terminal.shown());
    assert.equal(countOf(faulty, 'C_Login'), 0);
  });

  test('--batch asks nothing: the card is left out, and that is said', async () => {
    const faulty = logins.card.faulty({});
    const outcome = await logins.sshdesk(
      logins.words('only1', '--pkcs11', faulty.module, '--batch'),
      faulty.environment,
    );
    assert.equal(outcome.code, 5, outcome.stderr);
    assert.match(
      outcome.stderr,
      /card 'card' \(serial [0-9a-f]+\): it wants its PIN, and --batch asks for nothing/,
    );
    assert.equal(countOf(faulty, 'C_Login'), 0);
  });

  test('without a terminal there is nobody to ask', async () => {
    const child = new Child(
      'setsid',
      [path.join(checkout, 'sshdesk'), ...logins.words('only1', ...logins.provider)],
      {
        env: { ...process.env, ...logins.card.place },
      },
    );
    const outcome = await child.finished;
    assert.equal(outcome.code, 5, outcome.stderr);
    assert.match(outcome.stderr, /there is no terminal to ask its PIN on/);
  });

  test('IdentitiesOnly: a key of the card only when -i names its public half', async () => {
    const without = logins.withFaults('only2', {}, ...keyOnly, '-o', 'IdentitiesOnly=yes');
    assert.equal(await without.terminal.ended, 5, without.terminal.shown());
    const named = ['-o', 'IdentitiesOnly=yes', '-i', path.join(logins.folder, '2.pub')];
    const terminal = logins.onTerminal(
      logins.words('only2', ...logins.provider, ...keyOnly, ...named),
    );
    await terminal.shows(prompt);
    terminal.type(`${logins.card.pin}\r`);
    assert.equal(await terminal.ended, 0, terminal.shown());
  });

  test('PKCS11Provider of a configuration file, and -o; --pkcs11 alone knows the modules', async () => {
    const config = path.join(logins.folder, 'config');
    writeFileSync(config, `Host *\n  PKCS11Provider ${logins.card.module}\n`);
    const ways = [
      ['-F', config],
      ['-F', 'none', '-o', `PKCS11Provider=${logins.card.module}`],
      ['-F', 'none', '--pkcs11'],
    ];
    for (const way of ways) {
      const args = logins.words('only4').toSpliced(1, 2);
      const terminal = logins.onTerminal(['connect', ...way, ...args.slice(1)]);
      await terminal.shows(prompt);
      terminal.type(`${logins.card.pin}\r`);
      assert.equal(await terminal.ended, 0, terminal.shown());
    }
  });

  test('few tries left, and one, are said before it asks; a locked PIN is not asked for', async () => {
    for (const [flags, says] of [
      ['10000', /a wrong PIN was given before: few tries are left/],
      ['20000', /only one try is left: after another wrong PIN it is locked/],
    ] as const) {
      const faulty = logins.withFaults('only1', { CARD_FLAGS: flags });
      await faulty.terminal.shows(new RegExp(`${says.source}[^]*${prompt.source}`));
      faulty.terminal.type(`${logins.card.pin}\r`);
      assert.equal(await faulty.terminal.ended, 0, faulty.terminal.shown());
    }
    const locked = logins.withFaults('only1', { CARD_FLAGS: '40000' }, ...keyOnly);
    assert.equal(await locked.terminal.ended, 5, locked.terminal.shown());
    assert.match(locked.terminal.shown(), /its PIN is locked/);
    assert.equal(countOf(locked, 'C_Login'), 0);
  });

  test('a reader with a pad asks there', async () => {
    const faulty = logins.withFaults('only1', { CARD_FLAGS: '100', CARD_PIN: logins.card.pin });
    assert.equal(await faulty.terminal.ended, 0, faulty.terminal.shown());
    assert.match(
      faulty.terminal.shown(),
      /Enter the PIN of card 'card' .* on the pad of its reader/,
    );
    assert.ok(faulty.calls().includes('pad'));
  });

  test('a card that hides its public halves asks first', async () => {
    const faulty = logins.withFaults('only1', { CARD_HIDE: 'public' });
    await faulty.terminal.shows(prompt);
    faulty.terminal.type(`${logins.card.pin}\r`);
    assert.equal(await faulty.terminal.ended, 0, faulty.terminal.shown());
    assert.equal(countOf(faulty, 'C_Login'), 1);
  });

  test('a key that wants its PIN with each signature: asked once all the same', async () => {
    const own = new Card();
    own.makeKey('EC:prime256v1', '01', '--always-auth');
    const faulty = own.faulty({});
    const listed = await listedOn(own);
    makeUser('always', { authorizedKeys: [listed.stdout.trim()] });
    const terminal = logins.onTerminal(
      logins.words('always', '--pkcs11', faulty.module),
      faulty.environment,
    );
    await terminal.shows(prompt);
    terminal.type(`${own.pin}\r`);
    assert.equal(await terminal.ended, 0, terminal.shown());
    assert.equal(terminal.shown().match(/Enter PIN/g)?.length, 1);
    assert.ok(faulty.calls().includes('context'));
  });

  test('the guide: its commands, with the PIN typed', async () => {
    makeUser('alice', { authorizedKeys: logins.lines });
    const page = readFileSync(path.join(checkout, 'docs/guide/smart-cards.md'), 'utf8');
    const blocks = [...page.matchAll(/^```sh not-run: asks for the PIN;.*\n([\s\S]*?)^```$/gm)];
    const commands = blocks.flatMap(([, block = '']) => block.trim().split('\n'));
    assert.equal(commands.length, 4);
    const known = ['-o', `UserKnownHostsFile=${logins.server.knownHosts}`].join(' ');
    for (const command of commands) {
      const there = command
        .replace('alice@desk.example', `alice@127.0.0.1 `)
        .replace('./sshdesk connect', `./sshdesk connect -p ${logins.server.port} ${known}`)
        .replace(/\bssh (?=-I|alice)/, `ssh -p ${logins.server.port} ${known} `);
      const settings = Object.entries(logins.card.place).map(([name, is]) => `${name}=${is}`);
      const line = `cd ${checkout}; ${there}`;
      const terminal = openTerminal('env', [...settings, 'sh', '-c', line], {
        rows: 24,
        columns: 200,
      });
      await terminal.shows(/PIN for .*: |passphrase for PKCS#11: /);
      terminal.type(`${logins.card.pin}\r`);
      assert.equal(await terminal.ended, 0, `${command}: ${terminal.shown()}`);
      assert.match(terminal.shown(), /^alice$/m, command);
    }
  });

  test('a user who is not root, too', async () => {
    const user = findUser('nokeys');
    const own = new Card();
    own.makeKey('EC:prime256v1', '01');
    const listed = await listedOn(own);
    makeUser('plain', { authorizedKeys: [listed.stdout.trim()] });
    execFileSync('chown', ['-R', `${user.uid}:${user.gid}`, own.folder]);
    const settings = Object.entries(own.place).map(([name, is]) => `${name}=${is}`);
    const known = path.join(user.home, 'known_hosts');
    copyFileSync(logins.server.knownHosts, known);
    chmodSync(known, 0o644);
    const args = logins
      .words('plain', '--pkcs11', own.module)
      .map((word) => word.replace(logins.server.knownHosts, known));
    const terminal = openTerminal(
      'setpriv',
      [
        ...['--reuid', String(user.uid), '--regid', String(user.gid), '--clear-groups', 'env'],
        ...[...settings, `HOME=${user.home}`, path.join(checkout, 'sshdesk'), ...args],
      ],
      { rows: 24, columns: 200 },
    );
    await terminal.shows(prompt);
    terminal.type(`${own.pin}\r`);
    assert.equal(await terminal.ended, 0, terminal.shown());
  });

  test('after the login the card process has gone, and the PIN from the client’s memory', async () => {
    const own = new Card(`canary-${randomBytes(12).toString('hex')}`);
    own.makeKey('EC:prime256v1', '01');
    const listed = await listedOn(own);
    makeUser('canary', { authorizedKeys: [listed.stdout.trim()] });
    const args = logins.words('canary', '--pkcs11', own.module);
    const listen = args.map((word) => (word === '--list' ? '--listen=0' : word));
    const terminal = logins.onTerminal(
      listen.filter((word) => word !== '--json'),
      own.place,
    );
    await terminal.shows(prompt);
    terminal.type(`${own.pin}\r`);
    await logins.server.logged(/Accepted publickey for canary /);
    await eventually('the end of the card process', () =>
      allProcesses().every(({ title }) => !title.startsWith('sshdesk: card')),
    );
    const held = [Buffer.from(own.pin), Buffer.from(own.pin, 'utf16le')];
    const client = allProcesses().find(({ title }) => /main\.ts connect .*--listen=0/.test(title));
    assert.ok(client);
    assert.deepEqual(placesOf(client.pid, held), []);
    terminal.kill();
  });
});
