/** What is left of a web show that ends before its browser has started. Runs in: test. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Desktops } from '../../../../../src/cli/connect/desktop.ts';
import type { Terminal } from '../../../../../src/cli/connect/terminal.ts';
import { WebShow } from '../../../../../src/cli/web/show.ts';
import type { ClientSession } from '../../../../../src/ssh/client/session.ts';

test('Ctrl-C while the page with the address is being written leaves no page', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'show-'));
  const { BROWSER, XDG_RUNTIME_DIR } = process.env;
  t.after(() => {
    Object.assign(process.env, { BROWSER, XDG_RUNTIME_DIR });
    if (BROWSER === undefined) delete process.env.BROWSER;
    if (XDG_RUNTIME_DIR === undefined) delete process.env.XDG_RUNTIME_DIR;
    rmSync(folder, { recursive: true, force: true });
  });
  Object.assign(process.env, { BROWSER: '/bin/false', XDG_RUNTIME_DIR: folder });
  const interrupt = new AbortController();
  const terminal = {
    // The last word before the page.
    progress: () => interrupt.abort(),
    line: () => undefined,
  } as unknown as Terminal;
  const session = { ended: new Promise(() => undefined) } as unknown as ClientSession;
  const show = new WebShow(
    {} as Desktops,
    terminal,
    { port: 0, viewers: 1, isOpened: true },
    session,
    { title: 'alice@desk', isResized: true },
  );
  await show.run(interrupt.signal);
  assert.deepEqual(readdirSync(folder), []);
  // Nor does one come a moment later.
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(readdirSync(folder), []);
});
