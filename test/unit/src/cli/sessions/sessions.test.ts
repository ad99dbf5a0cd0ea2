import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { askDaemon, NoDaemon } from '../../../../../src/cli/sessions/control-client.ts';
import { controlSocketPaths } from '../../../../../src/cli/sessions/control-path.ts';
import { drawTable } from '../../../../../src/cli/sessions/table.ts';

const desktop = {
  id: 'A'.repeat(32),
  name: 'Büro',
  owner: 'alice',
  state: 'running',
  engine: 'xvnc',
  display: 100,
  geometry: '1280x800',
  depth: 24,
  startedAt: '2026-01-02T03:04:05.678Z',
  lastUsedAt: '2026-01-02T03:04:06.000Z',
  viewers: 2,
  viewedFrom: ['192.0.2.1', '192.0.2.2'],
};

test('a user asks the own daemon first, root the machine’s only', () => {
  assert.deepEqual(controlSocketPaths({ XDG_RUNTIME_DIR: '/run/user/7' }, 7), [
    '/run/user/7/sshdesk/control.sock',
    join(homedir(), '.local/state/sshdesk/run/control.sock'),
    '/run/sshdesk/control.sock',
  ]);
  assert.equal(controlSocketPaths({}, 7).length, 2);
  assert.deepEqual(controlSocketPaths({ XDG_RUNTIME_DIR: '/x' }, 0), ['/run/sshdesk/control.sock']);
});

test('the table is as wide as what is in it, and keeps one line per desktop', () => {
  assert.equal(
    drawTable([desktop], false),
    'ID                                NAME  OWNER  STATE    ENGINE  DISPLAY  GEOMETRY     STARTED               LAST USED             VIEWERS\n' +
      `${desktop.id}  Büro  alice  running  xvnc    :100     1280x800x24  2026-01-02 03:04:05Z  2026-01-02 03:04:06Z  2\n`,
  );
  const past = { ...desktop, endedAt: desktop.lastUsedAt, reason: 'died\n\u001b[31mred\n' };
  const drawn = drawTable([past], true);
  assert.equal(drawn.trimEnd().split('\n').length, 2);
  assert.ok(!drawn.includes('\u001b'));
  assert.equal(drawTable([], false).trimEnd().split('\n').length, 1);
});

test('the first socket on which somebody listens is asked; nonsense is no daemon', {
  timeout: 10_000,
}, async () => {
  const root = mkdtempSync(join(tmpdir(), 'sessions-'));
  const path = join(root, 's');
  let answer = '{"is":"done","desktops":[]}\n';
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(answer));
  });
  try {
    await assert.rejects(askDaemon([join(root, 'none'), path], { action: 'list' }), NoDaemon);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const asked = await askDaemon([join(root, 'none'), path], { action: 'list' });
    assert.deepEqual(asked, { path, reply: { is: 'done', desktops: [] } });
    for (const nonsense of ['x\n', '{}\n', '{"is":"done"', '']) {
      answer = nonsense;
      await assert.rejects(askDaemon([path], { action: 'list' }), NoDaemon, nonsense);
    }
  } finally {
    server.close();
    rmSync(root, { recursive: true });
  }
});
