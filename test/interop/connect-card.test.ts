/**
 * `sshdesk connect --pkcs11` against the server: keys of every kind on a card (SoftHSM), the PIN typed
 * on a terminal, cards and modules with faults. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Card, type FaultyCard, noCard } from '../support/card.ts';
import { Child, eventually, run } from '../support/child.ts';
import { authorize, checkout, findUser, inLab, makeKey, makeUser } from '../support/lab.ts';
import { placesOf } from '../support/memory-places.ts';
import { allProcesses, startServer, type TestServer } from '../support/server.ts';
import { openTerminal, type Terminal } from '../support/terminal.ts';

const lab = inLab(import.meta.url, 240_000);
const missing = noCard();
const kinds = [
  ['rsa:2048', 'ssh-rsa', 'RSA'],
  ['EC:prime256v1', 'ecdsa-sha2-nistp256', 'ECDSA'],
  ['EC:secp384r1', 'ecdsa-sha2-nistp384', 'ECDSA'],
  ['EC:secp521r1', 'ecdsa-sha2-nistp521', 'ECDSA'],
  ['EC:edwards25519', 'ssh-ed25519', 'ED25519'],
] as const;
const prompt = /Enter PIN for card 'card' \(serial [0-9a-f]+\): /;

describe('connect with a smart card', {
  ...lab,
  skip: lab.skip === false ? (missing ?? false) : lab.skip,
}, () => {
  let card: Card;
  let server: TestServer;
  let folder: string;
  let lines: readonly string[];

  before(async () => {
    card = new Card();
    for (const [index, [kind]] of kinds.entries()) card.makeKey(kind, `0${index + 1}`);
    folder = mkdtempSync('/tmp/connect-card-');
    const listed = await sshdesk(['keys', 'list', '--pkcs11', card.module, '--public']);
    lines = listed.stdout.trim().split('\n');
    assert.equal(lines.length, kinds.length, listed.stderr);
    for (const [index, line] of lines.entries()) {
      makeUser(`only${index}`, { authorizedKeys: [line] });
      writeFileSync(path.join(folder, `${index}.pub`), `${line}\n`);
    }
    makeUser('nokeys', { password: 'let me in' });
    server = await startServer({ config: ['UsePAM yes', 'LogLevel VERBOSE', 'MaxAuthTries 20'] });
  });
  after(() => server?.stop());

  const environment = () => ({ ...process.env, ...card.place });
  const sshdesk = (args: readonly string[], more: Readonly<Record<string, string>> = {}) =>
    run(path.join(checkout, 'sshdesk'), args, { env: { ...environment(), ...more } });
  const words = (user: string, ...rest: string[]): string[] => [
    ...['connect', '-F', 'none', '-o', `UserKnownHostsFile=${server.knownHosts}`],
    ...['-o', 'IdentityAgent=none', '-o', 'IdentityFile=none', '--list', '--json'],
    ...rest,
    `${user}@127.0.0.1:${server.port}`,
  ];
  const onTerminal = (
    args: readonly string[],
    more: Readonly<Record<string, string>> = {},
  ): Terminal => {
    const settings = Object.entries({ ...card.place, ...more }).map(
      ([name, is]) => `${name}=${is}`,
    );
    const size = { rows: 24, columns: 200 };
    return openTerminal('env', [...settings, path.join(checkout, 'sshdesk'), ...args], size);
  };
  const provider = () => ['--pkcs11', card.module];
  const keyOnly = ['-o', 'PreferredAuthentications=publickey'];

  for (const [index, [kind, type, logged]] of kinds.entries()) {
    test(`${kind}: the PIN is asked once, by name, and not shown`, async () => {
      assert.ok(lines[index]?.startsWith(`${type} `));
      const terminal = onTerminal(words(`only${index}`, ...provider()));
      await terminal.shows(prompt);
      terminal.type(`${card.pin}\r`);
      assert.equal(await terminal.ended, 0, terminal.shown());
      assert.equal(terminal.shown().match(/Enter PIN/g)?.length, 1);
      assert.ok(!terminal.shown().includes(card.pin));
      await server.logged(
        new RegExp(`Accepted publickey for only${index} .* ssh2: ${logged} SHA256:`),
      );
    });
  }

  const withFaults = async (
    user: string,
    settings: Readonly<Record<string, string>>,
    ...rest: string[]
  ): Promise<FaultyCard & { readonly terminal: Terminal }> => {
    const faulty = card.faulty(settings);
    const args = words(user, '--pkcs11', faulty.module, ...rest);
    return { ...faulty, terminal: onTerminal(args, faulty.environment) };
  };
  const countOf = (faulty: FaultyCard, name: string): number =>
    faulty.calls().filter((call) => call === name).length;

  test('the card is touched for one signature, with the key that the server takes', async () => {
    const faulty = await withFaults('only3', {});
    await faulty.terminal.shows(prompt);
    assert.equal(countOf(faulty, 'C_SignInit'), 0);
    faulty.terminal.type(`${card.pin}\r`);
    assert.equal(await faulty.terminal.ended, 0, faulty.terminal.shown());
    assert.equal(countOf(faulty, 'C_Login'), 1);
    assert.equal(countOf(faulty, 'C_Sign'), 1);
  });

  test('where no key of it is taken nobody is asked, and nothing is signed', async () => {
    const faulty = await withFaults('nokeys', {}, ...keyOnly);
    assert.equal(await faulty.terminal.ended, 5, faulty.terminal.shown());
    assert.doesNotMatch(faulty.terminal.shown(), /PIN/);
    assert.equal(countOf(faulty, 'C_Login') + countOf(faulty, 'C_SignInit'), 0);
  });

  test('a wrong PIN is tried once, and another method goes on', async () => {
    authorize(findUser('nokeys'), lines);
    const faulty = await withFaults('nokeys', {});
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
    const faulty = await withFaults('only1', {}, ...keyOnly);
    await faulty.terminal.shows(prompt);
    faulty.terminal.type('\r');
    assert.equal(await faulty.terminal.ended, 5, faulty.terminal.shown());
    assert.equal(countOf(faulty, 'C_Login'), 0);
  });

  test('--batch asks nothing: the card is left out, and that is said', async () => {
    const faulty = card.faulty({});
    const outcome = await sshdesk(
      words('only1', '--pkcs11', faulty.module, '--batch'),
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
      [path.join(checkout, 'sshdesk'), ...words('only1', ...provider())],
      {
        env: environment(),
      },
    );
    const outcome = await child.finished;
    assert.equal(outcome.code, 5, outcome.stderr);
    assert.match(outcome.stderr, /there is no terminal to ask its PIN on/);
  });

  test('IdentitiesOnly: a key of the card only when -i names its public half', async () => {
    const without = await withFaults('only2', {}, ...keyOnly, '-o', 'IdentitiesOnly=yes');
    assert.equal(await without.terminal.ended, 5, without.terminal.shown());
    const named = ['-o', 'IdentitiesOnly=yes', '-i', path.join(folder, '2.pub')];
    const terminal = onTerminal(words('only2', ...provider(), ...keyOnly, ...named));
    await terminal.shows(prompt);
    terminal.type(`${card.pin}\r`);
    assert.equal(await terminal.ended, 0, terminal.shown());
  });

  test('PKCS11Provider of a configuration file, and -o; --pkcs11 alone knows the modules', async () => {
    const config = path.join(folder, 'config');
    writeFileSync(config, `Host *\n  PKCS11Provider ${card.module}\n`);
    const ways = [
      ['-F', config],
      ['-F', 'none', '-o', `PKCS11Provider=${card.module}`],
      ['-F', 'none', '--pkcs11'],
    ];
    for (const way of ways) {
      const args = words('only4').toSpliced(1, 2);
      const terminal = onTerminal(['connect', ...way, ...args.slice(1)]);
      await terminal.shows(prompt);
      terminal.type(`${card.pin}\r`);
      assert.equal(await terminal.ended, 0, terminal.shown());
    }
  });

  test('few tries left, and one, are said before it asks; a locked PIN is not asked for', async () => {
    for (const [flags, says] of [
      ['10000', /a wrong PIN was given before: few tries are left/],
      ['20000', /only one try is left: after another wrong PIN it is locked/],
    ] as const) {
      const faulty = await withFaults('only1', { CARD_FLAGS: flags });
      await faulty.terminal.shows(new RegExp(`${says.source}[^]*${prompt.source}`));
      faulty.terminal.type(`${card.pin}\r`);
      assert.equal(await faulty.terminal.ended, 0, faulty.terminal.shown());
    }
    const locked = await withFaults('only1', { CARD_FLAGS: '40000' }, ...keyOnly);
    assert.equal(await locked.terminal.ended, 5, locked.terminal.shown());
    assert.match(locked.terminal.shown(), /its PIN is locked/);
    assert.equal(countOf(locked, 'C_Login'), 0);
  });

  test('a reader with a pad asks there', async () => {
    const faulty = await withFaults('only1', { CARD_FLAGS: '100', CARD_PIN: card.pin });
    assert.equal(await faulty.terminal.ended, 0, faulty.terminal.shown());
    assert.match(
      faulty.terminal.shown(),
      /Enter the PIN of card 'card' .* on the pad of its reader/,
    );
    assert.ok(faulty.calls().includes('pad'));
  });

  test('a card that hides its public halves asks first', async () => {
    const faulty = await withFaults('only1', { CARD_HIDE: 'public' });
    await faulty.terminal.shows(prompt);
    faulty.terminal.type(`${card.pin}\r`);
    assert.equal(await faulty.terminal.ended, 0, faulty.terminal.shown());
    assert.equal(countOf(faulty, 'C_Login'), 1);
  });

  test('a key that wants its PIN with each signature: asked once all the same', async () => {
    const own = new Card();
    own.makeKey('EC:prime256v1', '01', '--always-auth');
    const faulty = own.faulty({});
    const listed = await sshdesk(['keys', 'list', '--pkcs11', own.module, '--public'], own.place);
    makeUser('always', { authorizedKeys: [listed.stdout.trim()] });
    const terminal = onTerminal(words('always', '--pkcs11', faulty.module), faulty.environment);
    await terminal.shows(prompt);
    terminal.type(`${own.pin}\r`);
    assert.equal(await terminal.ended, 0, terminal.shown());
    assert.equal(terminal.shown().match(/Enter PIN/g)?.length, 1);
    assert.ok(faulty.calls().includes('context'));
  });

  for (const [CARD_FAULT, says] of [
    ['crash@load', /the PKCS#11 module \S+ ended while loading \(SIGSEGV\)/],
    ['hang@C_GetSlotList', /did not answer within 3 s while (?:loading|looking for cards)/],
    ['crash@C_FindObjectsInit', /ended while reading the card \(SIGSEGV\)/],
  ] as const) {
    test(`${CARD_FAULT}: said, and the login goes on with a key of a file`, async () => {
      const key = makeKey('ed25519');
      authorize(findUser('nokeys'), [key.line]);
      const faulty = card.faulty({ CARD_FAULT });
      const soon = CARD_FAULT.startsWith('hang') ? ['-o', 'ConnectTimeout=3'] : [];
      const more = ['--batch', '-i', key.file, ...soon];
      const outcome = await sshdesk(
        words('nokeys', '--pkcs11', faulty.module, ...more),
        faulty.environment,
      );
      assert.equal(outcome.code, 0, outcome.stderr);
      assert.match(outcome.stderr, says);
      assert.deepEqual(JSON.parse(outcome.stdout), []);
    });
  }

  for (const [CARD_FAULT, says] of [
    ['crash@C_Sign', /signing failed: the PKCS#11 module \S+ ended while signing \(SIGSEGV\)/],
    ['removed@C_Sign', /signing failed: the card was removed \(CKR_DEVICE_REMOVED\)/],
    ['absent@C_Login', /the card was removed \(CKR_TOKEN_NOT_PRESENT\)/],
  ] as const) {
    test(`${CARD_FAULT}: said, and the login fails as one without that key`, async () => {
      const faulty = await withFaults('only1', { CARD_FAULT }, ...keyOnly);
      await faulty.terminal.shows(prompt);
      faulty.terminal.type(`${card.pin}\r`);
      assert.equal(await faulty.terminal.ended, 5, faulty.terminal.shown());
      assert.match(faulty.terminal.shown(), says);
      assert.match(faulty.terminal.shown(), /Permission denied \(publickey/);
    });
  }

  test('the guide: its commands, with the PIN typed', async () => {
    makeUser('alice', { authorizedKeys: lines });
    const page = readFileSync(path.join(checkout, 'docs/guide/smart-cards.md'), 'utf8');
    const blocks = [...page.matchAll(/^```sh not-run: asks for the PIN;.*\n([\s\S]*?)^```$/gm)];
    const commands = blocks.flatMap(([, block = '']) => block.trim().split('\n'));
    assert.equal(commands.length, 4);
    const known = ['-o', `UserKnownHostsFile=${server.knownHosts}`].join(' ');
    for (const command of commands) {
      const there = command
        .replace('alice@desk.example', `alice@127.0.0.1 `)
        .replace('./sshdesk connect', `./sshdesk connect -p ${server.port} ${known}`)
        .replace(/\bssh (?=-I|alice)/, `ssh -p ${server.port} ${known} `);
      const settings = Object.entries(card.place).map(([name, is]) => `${name}=${is}`);
      const line = `cd ${checkout}; ${there}`;
      const terminal = openTerminal('env', [...settings, 'sh', '-c', line], {
        rows: 24,
        columns: 200,
      });
      await terminal.shows(/PIN for .*: |passphrase for PKCS#11: /);
      terminal.type(`${card.pin}\r`);
      assert.equal(await terminal.ended, 0, `${command}: ${terminal.shown()}`);
      assert.match(terminal.shown(), /^alice$/m, command);
    }
  });

  test('Ctrl-C while a card hangs: over at once, and nothing of it is left', async () => {
    const faulty = await withFaults('only1', { CARD_FAULT: 'hang@C_Sign' }, ...keyOnly);
    await faulty.terminal.shows(prompt);
    faulty.terminal.type(`${card.pin}\r`);
    await eventually('the signature that hangs', () => countOf(faulty, 'C_Sign') === 1);
    faulty.terminal.type('\x03');
    assert.equal(await faulty.terminal.ended, 130, faulty.terminal.shown());
    await eventually('the end of the card process', () =>
      allProcesses().every(({ title }) => !title.startsWith('sshdesk: card')),
    );
  });

  test('a user who is not root, too', async () => {
    const user = findUser('nokeys');
    const own = new Card();
    own.makeKey('EC:prime256v1', '01');
    const listed = await sshdesk(['keys', 'list', '--pkcs11', own.module, '--public'], own.place);
    makeUser('plain', { authorizedKeys: [listed.stdout.trim()] });
    execFileSync('chown', ['-R', `${user.uid}:${user.gid}`, own.folder]);
    const settings = Object.entries(own.place).map(([name, is]) => `${name}=${is}`);
    const known = path.join(user.home, 'known_hosts');
    copyFileSync(server.knownHosts, known);
    chmodSync(known, 0o644);
    const args = words('plain', '--pkcs11', own.module).map((word) =>
      word.replace(server.knownHosts, known),
    );
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

  test('a user loads no module that is a third one’s, or that he cannot read', async () => {
    const [user, third] = [findUser('nokeys'), findUser('only1')];
    const open = mkdtempSync('/tmp/modules-');
    chmodSync(open, 0o755);
    const own = path.join(open, 'own.so');
    const closed = path.join(open, 'closed.so');
    for (const file of [own, closed]) copyFileSync(card.module, file);
    chownSync(own, third.uid, third.gid);
    chmodSync(closed, 0o600);
    for (const [file, says] of [
      [own, `${own}: belongs to uid ${third.uid}, .*: as root chown root ${own}`],
      [closed, `${closed}: cannot be read; as its owner: chmod a\\+rx ${closed}`],
    ] as const) {
      const outcome = await run('setpriv', [
        ...['--reuid', String(user.uid), '--regid', String(user.gid), '--clear-groups', 'env'],
        ...[`HOME=${user.home}`, path.join(checkout, 'sshdesk'), 'keys', 'list', '--pkcs11', file],
      ]);
      assert.equal(outcome.code, 1);
      assert.match(outcome.stderr, new RegExp(says));
    }
  });

  test('what a module prints is nobody’s output', async () => {
    const faulty = await withFaults('only1', { CARD_FAULT: 'print@C_Sign' });
    await faulty.terminal.shows(prompt);
    faulty.terminal.type(`${card.pin}\r`);
    assert.equal(await faulty.terminal.ended, 0, faulty.terminal.shown());
    assert.doesNotMatch(faulty.terminal.shown(), /Enter your password|from the module/);
  });

  test('a module that others can change is not loaded, and what helps is said', async () => {
    const file = path.join(folder, 'open.so');
    copyFileSync(card.module, file);
    chmodSync(file, 0o777);
    const outcome = await sshdesk(words('only1', `--pkcs11=${file}`, '--batch'));
    assert.equal(outcome.code, 5);
    assert.match(outcome.stderr, /everybody can write there .*: chmod o-w \S+open\.so/);
  });

  test('after the login the card process has gone, and the PIN from the client’s memory', async () => {
    const own = new Card(`canary-${randomBytes(12).toString('hex')}`);
    own.makeKey('EC:prime256v1', '01');
    const listed = await sshdesk(['keys', 'list', '--pkcs11', own.module, '--public'], own.place);
    makeUser('canary', { authorizedKeys: [listed.stdout.trim()] });
    const args = words('canary', '--pkcs11', own.module);
    const listen = args.map((word) => (word === '--list' ? '--listen=0' : word));
    const terminal = onTerminal(
      listen.filter((word) => word !== '--json'),
      own.place,
    );
    await terminal.shows(prompt);
    terminal.type(`${own.pin}\r`);
    await server.logged(/Accepted publickey for canary /);
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
