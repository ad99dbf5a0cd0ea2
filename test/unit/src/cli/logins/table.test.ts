import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ListedLogin, PastLogin } from '../../../../../src/broker/control-logins.ts';
import { drawLast, drawWho, shortDuration } from '../../../../../src/cli/logins/show.ts';
import { sinceMs } from '../../../../../src/cli/logins/since.ts';
import { cellText, drawColumns } from '../../../../../src/cli/logins/table.ts';

const login: ListedLogin = {
  id: '0123456789abcdef',
  user: 'alice',
  via: 'sshdesk',
  address: '192.0.2.1',
  port: 40000,
  since: '2026-01-02T03:04:05.678Z',
  idleMs: 125_000,
  factors: ['publickey SHA256:abc', 'keyboard-interactive/pam'],
  open: {
    sessions: [
      { kind: 'shell', terminal: 'pts/3', since: '2026-01-02T03:04:06.000Z' },
      { kind: "command 'make'", terminal: '', since: '2026-01-02T03:04:07.000Z' },
    ],
    listeners: 2,
    agent: true,
    x11: 1,
    desktops: [
      { id: 'A'.repeat(32), name: 'default' },
      { id: 'A'.repeat(32), name: 'default' },
      { id: 'B'.repeat(32), name: '' },
    ],
  },
  daemon: 7,
  draining: true,
};
const past: PastLogin = {
  id: '0123456789abcdef',
  user: 'alice',
  address: '2001:db8::1',
  port: 40000,
  terminal: 'pts/3',
  startedAt: '2026-01-02T03:04:05.000Z',
  endedAt: '2026-01-02T05:14:05.000Z',
  factors: ['password'],
  exit: '0',
  why: 'disconnected',
};

test('who: everything that is open, in a line', () => {
  assert.equal(
    drawWho([login], undefined).split('\n')[1],
    `alice  192.0.2.1  2026-01-02 03:04:05Z  2m    publickey SHA256:abc, keyboard-interactive/pam  pts/3 shell, command 'make', desktop default ×2, desktop ${'B'.repeat(32)}, -R ×2, agent, X11 [draining]`,
  );
  const elsewhere = { ...login, via: 'sshd' as const, address: '', factors: [], draining: false };
  const nothing = { sessions: [], listeners: 0, agent: false, x11: 0, desktops: [] };
  assert.match(
    drawWho([{ ...elsewhere, open: nothing, idleMs: null }], undefined),
    /^alice {2}\? {5}2026-01-02 03:04:05Z {2}- {5}by another sshd {2}nothing$/m,
  );
  assert.match(drawWho([{ ...elsewhere, open: null }], undefined), /sshd {2}\?$/m);
});

test('last: when, how long, how it ended; a daemon that went without a word', () => {
  assert.equal(
    drawLast([past], undefined).split('\n')[1],
    'alice  pts/3  2001:db8::1  2026-01-02 03:04:05Z  2026-01-02 05:14:05Z  2h10m  0     disconnected  password',
  );
  assert.match(
    drawLast([{ ...past, endedAt: null, why: 'gone', exit: '', terminal: '' }], undefined),
    /^alice {2}- {4}2001:db8::1 {2}2026-01-02 03:04:05Z {2}gone {2}\? {5}- {5}gone {2}password$/m,
  );
  assert.equal(drawLast([], 20).trimEnd().split('\n').length, 1);
});

test('a table fits its terminal, at any width that there is', () => {
  const hostile = { ...login, user: '寿司'.repeat(30), factors: ['x'.repeat(300)] };
  for (const columns of [80, 100, 132, 200]) {
    const lines = drawWho([login, hostile], columns).trimEnd().split('\n');
    assert.equal(lines.length, 3);
    const wide = (text: string): number =>
      [...text].reduce((sum, one) => sum + (/[\u4e00-\u9fff]/.test(one) ? 2 : 1), 0);
    assert.deepEqual(
      lines.filter((line) => wide(line) > columns),
      [],
    );
  }
  // Where nothing is left to give, it is as wide as it must be.
  assert.equal(drawColumns([{ title: 'LONG TITLE' }], [['x']], 3), 'LONG TITLE\nx\n');
});

test('no name breaks a line, moves the cursor or turns the direction', () => {
  const names = [
    'a\nroot  pts/0',
    'a\r\u001b[2Jb',
    'a\u202eb\u2066c\u200fd',
    'a\u0000b\u009b31mc',
    'a\u2028b\u2029c\u{e0041}\ud800d\ufeff',
  ];
  for (const name of names) {
    const shown = cellText(name);
    assert.doesNotMatch(shown, /[\p{C}\p{Zl}\p{Zp}]/u);
    const table = drawWho(
      [{ ...login, user: name, factors: [name], address: name, open: null }],
      undefined,
    );
    assert.equal(table.trimEnd().split('\n').length, 2);
    assert.doesNotMatch(table.replaceAll('\n', ''), /[\p{C}\p{Zl}\p{Zp}]/u);
  }
  assert.equal(cellText('a\nb'), 'a\\u{a}b');
  assert.equal(cellText('Büro 寿司'), 'Büro 寿司');
});

test('durations and points in time', () => {
  assert.deepEqual(
    [-5, 0, 59_999, 60_000, 3_599_000, 3_600_000, 86_399_000, 90_000_000].map(shortDuration),
    ['0s', '0s', '59s', '1m', '59m', '1h00m', '23h59m', '1d01h'],
  );
  const nowMs = Date.parse('2026-11-21T12:00:00Z');
  assert.equal(sinceMs('30m', nowMs), nowMs - 1_800_000);
  assert.equal(sinceMs('1w', nowMs), nowMs - 604_800_000);
  assert.equal(sinceMs('999999w', nowMs), 0);
  assert.equal(sinceMs('2026-11-21', nowMs), nowMs - 43_200_000);
  assert.equal(sinceMs('2026-11-21 10:28', nowMs), Date.parse('2026-11-21T10:28:00Z'));
  assert.equal(sinceMs('2026-11-21T10:28:05.123Z', nowMs), Date.parse('2026-11-21T10:28:05.123Z'));
  for (const none of ['', 'yesterday', '5', '2026-13-01', '2026-11-21T25:00', '-1d', '1e3s']) {
    assert.equal(sinceMs(none, nowMs), undefined, none);
  }
});
