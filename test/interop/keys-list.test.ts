/**
 * `sshdesk keys list --pkcs11` with cards of SoftHSM: as a table, for authorized_keys, for programs.
 * Runs in: test.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { Card, noCard } from '../support/card.ts';
import { run } from '../support/child.ts';
import { openTerminal } from '../support/terminal.ts';

const checkout = path.resolve(import.meta.dirname, '../..');
const program = path.join(checkout, 'sshdesk');

describe('keys list', { skip: noCard() ?? false, timeout: 60_000 }, () => {
  let card: Card;
  let certified: string;
  before(() => {
    card = new Card();
    card.makeKey('EC:prime256v1', '01');
    card.makeKey('rsa:2048', '02', '--label', 'red \x1b[31m\nline');
    certified = card.makeCertified('03', '/C=XX/CN=Ada');
  });
  const list = (args: readonly string[], more: Readonly<Record<string, string>> = {}) =>
    run(program, ['keys', 'list', ...args], { env: { ...process.env, ...card.place, ...more } });

  test('a table: card, id, label, type, fingerprint, certificate with its subject and end', async () => {
    const { code, stdout, stderr } = await list(['--pkcs11', card.module]);
    assert.equal(code, 0, stderr);
    assert.equal(stderr, '', 'no PIN is asked for');
    const [heading, ...rows] = stdout.trimEnd().split('\n');
    assert.match(heading ?? '', /^CARD +ID +LABEL +TYPE +FINGERPRINT +CERTIFICATE$/);
    assert.equal(rows.length, 3);
    assert.match(rows[0] ?? '', /^card +01 +key 01 +ECDSA 256 +SHA256:\S{43} +-$/);
    assert.match(rows[1] ?? '', / 02 +red \\x1b\[31m line +RSA 2048 /);
    assert.match(rows[2] ?? '', / 03 +key 03 .* CN=Ada,C=XX, until \d{4}-\d\d-\d\d$/);
  });

  test('--public: lines for authorized_keys, a label of two lines on one', async () => {
    const { stdout } = await list(['--pkcs11', card.module, '--public']);
    const lines = stdout.trimEnd().split('\n');
    assert.equal(lines.length, 3);
    assert.match(lines[0] ?? '', /^ecdsa-sha2-nistp256 [A-Za-z0-9+/=]+ key 01$/);
    assert.match(lines[1] ?? '', /^ssh-rsa [A-Za-z0-9+/=]+ red \\x1b\[31m line$/);
    assert.equal(lines[2], `${certified} key 03`);
    // It prints the label as it is, on two lines.
    const known = card.keys().flatMap((line) => line.split(' ')[1] ?? []);
    assert.ok(known.length >= 3);
    for (const blob of known)
      assert.ok(
        lines.some((line) => line.split(' ')[1] === blob),
        blob,
      );
  });

  test('--json: one array, with everything', async () => {
    const { stdout } = await list([`--pkcs11=${card.module}`, '--json']);
    const [one, , three] = JSON.parse(stdout) as Record<string, unknown>[];
    assert.deepEqual(
      [one?.token, one?.id, one?.label, one?.type, one?.bits],
      ['card', '01', 'key 01', 'ecdsa-sha2-nistp256', 256],
    );
    const { subject, notAfter } = (three?.certificate ?? {}) as Record<string, string>;
    assert.equal(subject, 'CN=Ada,C=XX');
    assert.ok(Date.parse(notAfter ?? '') > Date.now());
  });

  test('without a module: of all that are known, by p11-kit’s configuration', async () => {
    const { stdout, stderr } = await list(['--pkcs11']);
    assert.match(stdout, / 01 +key 01 /, stderr);
  });

  test('a card that hides its keys says so, and shows them after the PIN (--login)', async () => {
    const faulty = card.faulty({ CARD_HIDE: 'public' });
    const without = await list(['--pkcs11', faulty.module], faulty.environment);
    assert.match(
      without.stderr,
      /card 'card' .* shows no keys without its PIN: --login asks for it/,
    );
    const settings = Object.entries(faulty.environment).map(([name, is]) => `${name}=${is}`);
    const args = ['keys', 'list', '--pkcs11', faulty.module, '--login'];
    const terminal = openTerminal('env', [...settings, program, ...args], {
      rows: 24,
      columns: 200,
    });
    await terminal.shows(/Enter PIN for card 'card'/);
    terminal.type(`${card.pin}\r`);
    assert.equal(await terminal.ended, 0, terminal.shown());
    assert.match(terminal.shown(), / 01 +key 01 /);
  });

  test('nothing there, and modules that fail, are exit status 1; why is said', async () => {
    const empty = await list(['--pkcs11', card.module], { SOFTHSM2_CONF: '/dev/null' });
    assert.equal(empty.code, 1);
    assert.notEqual(empty.stderr, '');
    const faulty = card.faulty({ CARD_FAULT: 'crash@C_GetSlotList' });
    const crashed = await list(['--pkcs11', faulty.module], faulty.environment);
    assert.equal(crashed.code, 1);
    assert.match(crashed.stderr, /ended while looking for cards \(SIGSEGV\)/);
    assert.doesNotMatch(crashed.stderr, /there is no card/);
  });
});
