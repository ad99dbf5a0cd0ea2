import assert from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  displaySocket,
  freeDisplay,
  prepareX11Directory,
  removeStale,
  xauthority,
} from '../../../../src/broker/x-display.ts';

test('the Xauthority entry is wild and carries one MIT cookie', () => {
  const cookie = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
  const name = Buffer.from('MIT-MAGIC-COOKIE-1');
  const expected = Buffer.concat([
    Buffer.from('ffff00000000', 'hex'),
    Buffer.from([0, name.length]),
    name,
    Buffer.from([0, 16]),
    cookie,
  ]);
  assert.deepEqual(xauthority(cookie), expected);
});

test('a link in place of the directory of sockets is not followed', () => {
  const root = mkdtempSync(join(tmpdir(), 'x-'));
  try {
    symlinkSync(root, join(root, 'X11'));
    assert.throws(() => prepareX11Directory(join(root, 'X11'), true), /ENOTDIR|ELOOP/);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('displays that are reserved or have a socket or lock are passed over', () => {
  const root = mkdtempSync(join(tmpdir(), 'x-'));
  const directory = join(root, 'X11');
  try {
    prepareX11Directory(directory, true);
    assert.equal(statSync(directory).mode & 0o7777, 0o1777);
    writeFileSync(displaySocket(directory, 100), '');
    writeFileSync(join(root, '.X102-lock'), '');
    assert.equal(
      freeDisplay(directory, (display) => display === 101),
      103,
    );
    assert.equal(
      freeDisplay(directory, () => true),
      undefined,
    );
    // A file of that name is no socket: not ours to remove.
    removeStale(directory, 100, process.getuid?.() ?? 0);
    assert.equal(readFileSync(displaySocket(directory, 100), 'utf8'), '');
    // The lock of a server that was killed, of this user and of no other.
    removeStale(directory, 102, (process.getuid?.() ?? 0) + 1);
    assert.ok(existsSync(join(root, '.X102-lock')));
    removeStale(directory, 102, process.getuid?.() ?? 0);
    assert.ok(!existsSync(join(root, '.X102-lock')));
  } finally {
    rmSync(root, { recursive: true });
  }
});
