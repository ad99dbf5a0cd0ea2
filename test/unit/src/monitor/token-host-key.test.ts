/** A host key in a token: its PIN is never tried twice, and what it was is not taken for another. */
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parsePkcs11Uri } from '../../../../keys/pkcs11-uri.ts';
import { verify } from '../../../../keys/signature.ts';
import { Log } from '../../../../src/audit/log.ts';
import { TokenHostKey } from '../../../../src/monitor/token-host-key.ts';
import { readPin } from '../../../../src/monitor/token-pin.ts';
import { Card, noCard } from '../../../support/card.ts';

const data = Buffer.from('data');

describe('a token with a host key', { skip: noCard() ?? false, timeout: 60_000 }, () => {
  test('a PIN that was refused is not tried again until its file has changed', async () => {
    const card = new Card();
    card.makeKey('EC:prime256v1', '01');
    const pinFile = path.join(mkdtempSync('/tmp/pin-'), 'pin');
    const putPin = (pin: string) => {
      writeFileSync(`${pinFile}.new`, pin, { mode: 0o600 });
      renameSync(`${pinFile}.new`, pinFile);
    };
    putPin(card.pin);
    const lines: string[] = [];
    let nowMs = 0;
    const key = new TokenHostKey(
      parsePkcs11Uri(`pkcs11:id=%01?module-path=${card.module}&pin-source=file:${pinFile}`),
      {
        log: new Log({ write: (_level, _prefix, line) => void lines.push(line) }, 'INFO'),
        user: undefined,
        environment: { ...process.env, ...card.environment() },
        nowMs: () => nowMs,
      },
    );
    try {
      const { type, blob } = await key.check();
      assert.ok(verify(type, blob, await key.sign(type, data), data));
      putPin('000000');
      await key.close();
      await assert.rejects(key.sign(type, data), /the PIN is wrong/);
      // A moment later nothing is even started.
      await assert.rejects(key.sign(type, data), /the PIN is wrong/);
      nowMs += 10_000;
      await assert.rejects(key.sign(type, data), /its PIN was refused and is not tried again/);
      putPin(`${card.pin}\n`);
      nowMs += 10_000;
      const signatures = await Promise.all([1, 2, 3].map(() => key.sign(type, data)));
      assert.ok(signatures.every((signature) => verify(type, blob, signature, data)));
      assert.equal(lines.length, 2, lines.join('\n'));
      assert.match(lines[0] ?? '', /the PIN is wrong.*: logins that need it fail until it is back/);
      assert.match(lines[1] ?? '', /it is back/);
    } finally {
      await key.close();
    }
  });

  test('nor one that the module has refused in other words', async () => {
    const card = new Card();
    card.makeKey('EC:prime256v1', '01');
    const reader = card.faulty({ CARD_FAULT: 'fail@C_Login' });
    const pinFile = path.join(mkdtempSync('/tmp/pin-'), 'pin');
    writeFileSync(pinFile, card.pin, { mode: 0o600 });
    let nowMs = 0;
    const key = new TokenHostKey(
      parsePkcs11Uri(`pkcs11:id=%01?module-path=${reader.module}&pin-source=file:${pinFile}`),
      {
        log: new Log({ write: () => undefined }, 'INFO'),
        user: undefined,
        environment: { ...process.env, ...reader.environment },
        nowMs: () => nowMs,
      },
    );
    await assert.rejects(key.check(), /CKR_FUNCTION_FAILED/);
    for (let round = 0; round < 3; round++) {
      nowMs += 10_000;
      await assert.rejects(key.check(), /its PIN was refused and is not tried again/);
    }
    assert.equal(reader.calls().filter((call) => call === 'C_Login').length, 1);
    await key.close();
  });
});

test('the file of a PIN: root’s or our own, nobody else’s to read, one short line', () => {
  const folder = mkdtempSync('/tmp/pin-');
  const uid = process.geteuid?.() ?? 0;
  const put = (name: string, text: string, mode = 0o600): string => {
    const file = path.join(folder, name);
    writeFileSync(file, text, { mode });
    return file;
  };
  const good = readPin(put('good', '1234\nmore\n'), uid);
  assert.equal(good.pin.toString(), '1234');
  assert.throws(() => readPin(put('group', '1234', 0o640), uid), /others can read or change/);
  assert.throws(() => readPin(put('empty', '\n'), uid), /is not a PIN/);
  assert.throws(() => readPin(put('long', '1'.repeat(300)), uid), /is not a PIN/);
  symlinkSync(path.join(folder, 'good'), path.join(folder, 'link'));
  assert.throws(() => readPin(path.join(folder, 'link'), uid), /a link/);
  assert.throws(() => readPin(folder, uid), /not a file/);
  assert.throws(() => readPin(path.join(folder, 'none'), uid), /no such file/);
});
