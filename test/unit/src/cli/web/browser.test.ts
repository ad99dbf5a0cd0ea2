/** Which programs open the address, and what of it others can see. Runs in: test. */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LeadingPage, browserCommands, openBrowser } from '../../../../../src/cli/web/browser.ts';

const address = 'file:///run/user/1000/x/desktop.html';
const lines = (environment: NodeJS.ProcessEnv, platform: NodeJS.Platform): string[] =>
  browserCommands(environment, platform, address).map(({ program, words }) =>
    [program, ...words].join(' '),
  );

test('each system has its way', () => {
  const linux = [`xdg-open ${address}`, `x-www-browser ${address}`];
  assert.deepEqual(lines({ DISPLAY: ':0' }, 'linux'), linux);
  assert.deepEqual(lines({ WAYLAND_DISPLAY: 'wayland-0' }, 'linux'), linux);
  assert.deepEqual(lines({}, 'linux'), [], 'without a screen there is no browser');
  assert.deepEqual(lines({}, 'darwin'), [`open ${address}`]);
  assert.deepEqual(lines({}, 'win32'), [`rundll32 url.dll,FileProtocolHandler ${address}`]);
});

test('BROWSER comes first, with the address where it says', () => {
  const [first, second, third] = lines({ BROWSER: 'one --at=%s -x:two  -y' }, 'linux');
  assert.equal(first, `one --at=${address} -x`);
  assert.equal(second, `two -y ${address}`);
  assert.equal(third, `xdg-open ${address}`);
  assert.equal(lines({ BROWSER: ':' }, 'linux').length, 0);
  assert.equal(lines({ BROWSER: 'C:\\b.exe' }, 'win32')[0], `C:\\b.exe ${address}`);
});

test('the leading page is for the person alone, and goes', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sshdesk-leading-'));
  try {
    const target = 'http://127.0.0.1:1234/#token';
    const page = await LeadingPage.write(target, { XDG_RUNTIME_DIR: folder });
    const path = fileURLToPath(page.address);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
    assert.equal(page.address.includes('token'), false);
    assert.ok(readFileSync(path, 'utf8').includes(`0; url=${target}"`));
    await page.close();
    assert.deepEqual(await readdir(folder), []);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('a browser that is missing or fails is followed by the next; none is told', async () => {
  const missing = { program: '/nonexistent/browser', words: [] };
  const failing = { program: process.execPath, words: ['-e', 'process.exit(3)'] };
  const good = { program: process.execPath, words: ['-e', ''] };
  assert.equal(await openBrowser([missing, failing, good], process.env), true);
  assert.equal(await openBrowser([missing, failing], process.env), false);
  assert.equal(await openBrowser([], process.env), false);
});
