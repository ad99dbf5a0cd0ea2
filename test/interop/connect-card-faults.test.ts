/**
 * `sshdesk connect --pkcs11` with modules that have faults, cards that are pulled, and files that nobody
 * should load: what is said, what goes on, what is left. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, copyFileSync, mkdtempSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { noCard } from '../support/card.ts';
import { CardLogins, countOf, keyOnly, prompt } from '../support/card-logins.ts';
import { eventually, run } from '../support/child.ts';
import { authorize, checkout, findUser, inLab, makeKey } from '../support/lab.ts';
import { allProcesses } from '../support/server.ts';

const lab = inLab(import.meta.url, 240_000);
const missing = noCard();

describe('connect with a card that has faults', {
  ...lab,
  skip: lab.skip === false ? (missing ?? false) : lab.skip,
}, () => {
  let logins: CardLogins;
  before(async () => {
    logins = await CardLogins.start(['rsa:2048', 'EC:prime256v1']);
  });
  after(() => logins?.server.stop());

  for (const [CARD_FAULT, says] of [
    ['crash@load', /the PKCS#11 module \S+ ended while loading \(SIGSEGV\)/],
    ['hang@C_GetSlotList', /did not answer within 3 s while (?:loading|looking for cards)/],
    ['crash@C_FindObjectsInit', /ended while reading the card \(SIGSEGV\)/],
  ] as const) {
    test(`${CARD_FAULT}: said, and the login goes on with a key of a file`, async () => {
      const key = makeKey('ed25519');
      authorize(findUser('nokeys'), [key.line]);
      const faulty = logins.card.faulty({ CARD_FAULT });
      const soon = CARD_FAULT.startsWith('hang') ? ['-o', 'ConnectTimeout=3'] : [];
      const more = ['--batch', '-i', key.file, ...soon];
      const outcome = await logins.sshdesk(
        logins.words('nokeys', '--pkcs11', faulty.module, ...more),
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
      const faulty = logins.withFaults('only1', { CARD_FAULT }, ...keyOnly);
      await faulty.terminal.shows(prompt);
      faulty.terminal.type(`${logins.card.pin}\r`);
      assert.equal(await faulty.terminal.ended, 5, faulty.terminal.shown());
      assert.match(faulty.terminal.shown(), says);
      assert.match(faulty.terminal.shown(), /Permission denied \(publickey/);
    });
  }

  test('Ctrl-C while a card hangs: over at once, and nothing of it is left', async () => {
    const faulty = logins.withFaults('only1', { CARD_FAULT: 'hang@C_Sign' }, ...keyOnly);
    await faulty.terminal.shows(prompt);
    faulty.terminal.type(`${logins.card.pin}\r`);
    await eventually('the signature that hangs', () => countOf(faulty, 'C_Sign') === 1);
    faulty.terminal.type('\x03');
    assert.equal(await faulty.terminal.ended, 130, faulty.terminal.shown());
    await eventually('the end of the card process', () =>
      allProcesses().every(({ title }) => !title.startsWith('sshdesk: card')),
    );
  });

  test('a user loads no module that is a third one’s, or that he cannot read', async () => {
    const [user, third] = [findUser('nokeys'), findUser('only1')];
    const open = mkdtempSync('/tmp/modules-');
    chmodSync(open, 0o755);
    const own = path.join(open, 'own.so');
    const closed = path.join(open, 'closed.so');
    for (const file of [own, closed]) copyFileSync(logins.card.module, file);
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
    const faulty = logins.withFaults('only1', { CARD_FAULT: 'print@C_Sign' });
    await faulty.terminal.shows(prompt);
    faulty.terminal.type(`${logins.card.pin}\r`);
    assert.equal(await faulty.terminal.ended, 0, faulty.terminal.shown());
    assert.doesNotMatch(faulty.terminal.shown(), /Enter your password|from the module/);
  });

  test('a module that others can change is not loaded, and what helps is said', async () => {
    const file = path.join(logins.folder, 'open.so');
    copyFileSync(logins.card.module, file);
    chmodSync(file, 0o777);
    const outcome = await logins.sshdesk(logins.words('only1', `--pkcs11=${file}`, '--batch'));
    assert.equal(outcome.code, 5);
    assert.match(outcome.stderr, /everybody can write there .*: chmod o-w \S+open\.so/);
  });
});
