/**
 * A person without a viewer: `connect --web` and a real browser. Pixels are compared, keys and the
 * window's size arrive, and nobody but the first browser gets in. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import type { Page } from 'playwright-core';
import { Browser, browserIsMissing } from '../support/browser.ts';
import { type Child, eventually, output } from '../support/child.ts';
import { connectClient, randomColour } from '../support/desktop-look.ts';
import {
  desktopEnvironment,
  type ListedDesktop,
  listDesktops,
  startDesktopServer,
} from '../support/desktop-session.ts';
import { inLab, type LabUser, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import type { TestServer } from '../support/server.ts';
import { type Area, colour, Picture } from '../support/viewer.ts';
import { drawWindow } from '../support/x-window.ts';

const lab = inLab(import.meta.url, 240_000);
const options = browserIsMissing === false ? lab : { ...lab, skip: browserIsMissing };

const area: Area = { x: 500, y: 60, width: 200, height: 160 };
/** What of it no title bar or frame of the window manager can reach. */
const inner: Area = { x: 520, y: 110, width: 160, height: 90 };

/** A browser, a server and a desktop on a machine that may have other things to do. */
const until: typeof eventually = (what, probe, timeoutMs = 25_000) =>
  eventually(what, probe, timeoutMs);

describe('a person at a browser', options, () => {
  let server: TestServer;
  let key: TestKey;
  let alice: LabUser;
  let browser: Browser;
  let client: Child;
  let address: string;
  let page: Page;
  let window: Child | undefined;
  let debugPort: string;

  before(async () => {
    // Keys that the machine is slow to let go of would repeat.
    key = makeKey('ed25519');
    alice = makeUser('alice', { authorizedKeys: [key.line] });
    server = await startDesktopServer(
      'xset r off; xterm -xrm XTerm*allowWindowOps:true -geometry 80x12+40+400 & exec icewm-session',
    );
    browser = await Browser.start();
  });
  after(async () => {
    await window?.stop();
    await client?.stop();
    await browser?.[Symbol.asyncDispose]();
    await server?.stop();
  });

  const desktop = (): ListedDesktop => {
    const [found] = listDesktops();
    assert.ok(found !== undefined);
    return found;
  };

  async function start(
    args: readonly string[],
    environment: NodeJS.ProcessEnv = process.env,
  ): Promise<void> {
    client = connectClient(server, { user: 'alice', key, args, environment });
    address = await until('the address', () => {
      assert.equal(client.hasExited, false, client.stderr);
      return /^(http:\/\/127\.0\.0\.1:\d+\/#[\w-]{43})\n/.exec(client.stdout)?.[1];
    });
  }

  const said = (on: Page) => on.locator('#status').innerText();

  const isShown = (on: Page) =>
    until('the desktop', async () => (await said(on)) === 'alice@127.0.0.1');

  /** Where it is; its window manager has a mind of its own about places. */
  async function focusTerminal(): Promise<void> {
    const env = desktopEnvironment(desktop());
    const id = (
      await output('xdotool', ['search', '--onlyvisible', '--class', 'xterm'], { env })
    ).trim();
    const place = await output('xdotool', ['getwindowgeometry', id], { env });
    const [, x, y] = /Position: (\d+),(\d+)/.exec(place) ?? [];
    const position = { x: Number(x) + 60, y: Number(y) + 60 };
    await page.locator('#desktop canvas').click({ position });
    await until(
      'the keyboard at the terminal',
      async () => (await output('xdotool', ['getwindowfocus'], { env })).trim() === id,
    );
  }

  test('sees what the X server shows', async () => {
    await start(['--web', '--no-open']);
    page = await browser.newPage();
    await page.goto(address);
    await isShown(page);
    const shown = randomColour();
    window = await drawWindow(desktopEnvironment(desktop()), { colour: shown, area });
    await until(
      'the window',
      async () => (await browser.pictureOf(page)).share(inner, colour(shown)) === 1,
    );
    const inBrowser = await browser.pictureOf(page);
    const onServer = await Picture.ofScreen(desktopEnvironment(desktop()));
    assert.equal(`${inBrowser.width}x${inBrowser.height}`, `${onServer.width}x${onServer.height}`);
    assert.equal(inBrowser.share(inner, colour(randomColour())), 0);
  });

  test('types into it', async () => {
    const word = randomBytes(12).toString('hex');
    await focusTerminal();
    await page.keyboard.type(`echo ${word} > typed`);
    await page.keyboard.press('Enter');
    await until('the file', async () => existsSync(`${alice.home}/typed`));
    await until(
      'its text',
      async () => readFileSync(`${alice.home}/typed`, 'utf8') === `${word}\n`,
    );
  });

  test('gives the desktop the size of the window', async () => {
    await page.setViewportSize({ width: 900, height: 640 });
    const box = await page.locator('#desktop').boundingBox();
    assert.ok(box !== null);
    const size = `${Math.floor(box.width)}x${Math.floor(box.height)}`;
    await until('the size of the X screen', async () =>
      (await output('xdpyinfo', [], { env: desktopEnvironment(desktop()) })).includes(
        `dimensions:    ${size} pixels`,
      ),
    );
    await until('the size in the page', async () => {
      const { width, height } = await browser.pictureOf(page);
      return `${width}x${height}` === size;
    });
  });

  test('exchanges clipboards', async () => {
    const [theirs, ours] = [randomBytes(8).toString('hex'), randomBytes(8).toString('hex')];
    const field = page.locator('#clipboard-text');
    await focusTerminal();
    // xterm copies what OSC 52 brings, as if it had been selected there.
    const encoded = Buffer.from(theirs).toString('base64');
    await page.keyboard.type(`printf '\\033]52;c;${encoded}\\007'`);
    await page.keyboard.press('Enter');
    await until('what the desktop copied', async () => (await field.inputValue()) === theirs);
    await page.getByRole('button', { name: 'Clipboard' }).click();
    await field.fill(ours);
    await page.getByRole('button', { name: 'Give it to the desktop' }).click();
    await focusTerminal();
    await page.keyboard.type('cat > pasted');
    await page.keyboard.press('Enter');
    const file = `${alice.home}/pasted`;
    // The shell has brackets around what is pasted; the program that has begun has not.
    await until('the reader', () => existsSync(file));
    await page.keyboard.press('Shift+Insert');
    // The X server fetches the text when it is pasted: it comes when it comes.
    await until('what it pastes', async () => {
      await page.keyboard.press('Enter');
      return readFileSync(file, 'utf8').includes(ours);
    });
    await page.keyboard.press('Control+D');
  });

  test('is there again after a reload; a second tab takes over and can be left again', async () => {
    const { id } = desktop();
    assert.doesNotMatch(page.url(), /#/, 'the token is not in the address bar');
    await page.reload();
    await isShown(page);
    assert.equal(desktop().id, id);
    const second = await browser.newPage();
    await second.goto(page.url());
    await isShown(second);
    await until('the first tab', async () => /another tab/.test(await said(page)));
    await until('one viewer', async () => desktop().viewers === 1);
    await page.getByRole('button', { name: 'Show it here' }).click();
    await isShown(page);
    await second.close();
    assert.equal(client.hasExited, false);
  });

  test('lets no second browser in, and tells both persons', async () => {
    await using stranger = await Browser.start();
    for (const [url, words] of [
      [address, /used already/],
      [page.url(), /this browser may not see/i],
      [new URL('/', address).href, /the address that sshdesk gave/],
    ] as const) {
      const theirs = await stranger.newPage();
      await theirs.goto(url);
      await until('the refusal', async () => words.test(await theirs.locator('body').innerText()));
    }
    assert.match(client.stderr, /was used a second time, and refused/);
    assert.equal(desktop().viewers, 1);
    assert.equal(stranger.requests.filter((url) => url.startsWith('ws:')).length, 0);
  });

  test('has asked nobody else for anything, and broken no rule of the page', () => {
    const { host } = new URL(address);
    assert.ok(browser.requests.length > 50);
    assert.deepEqual(
      browser.requests.filter(
        (url) => !['http:', 'ws:'].includes(new URL(url).protocol) || new URL(url).host !== host,
      ),
      [],
    );
    assert.deepEqual(browser.complaints, []);
  });

  test('closes the page: the client ends, the desktop goes on, and the next browser is started without the address in ps', async () => {
    const { id } = desktop();
    const first = client;
    await page.close();
    await until('detached', async () => desktop().state === 'detached');
    const folder = `/tmp/started-${process.pid}`;
    const flags = `--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --remote-debugging-port=0`;
    const started = `chromium ${flags} --user-data-dir=${folder}`;
    await start(['--web', '--viewers', '2', '--geometry', '640x480'], {
      ...process.env,
      BROWSER: started,
    });
    await until('the browser at the desktop', async () => desktop().viewers === 1);
    const addresses = await until('two addresses', () => {
      const lines = client.stdout.trim().split('\n');
      return lines.length === 2 && lines;
    });
    page = await browser.newPage();
    await page.goto(addresses[1] as string);
    await isShown(page);
    await until('two viewers', async () => desktop().viewers === 2);
    await until('the size that was asked for', async () => {
      const { width, height } = await browser.pictureOf(page);
      return `${width}x${height}` === '640x480';
    });
    const box = await page.locator('#desktop canvas').boundingBox();
    assert.ok(box !== null && box.width > 700, 'the page shows it as large as it can');
    assert.equal(desktop().geometry, '640x480');
    const token = address.slice(address.indexOf('#') + 1);
    const shown = await output('ps', ['-eww', '-o', 'pid,args']);
    const theirs = shown.split('\n').filter((line) => line.includes(folder));
    const leading = theirs.map((line) => /file:\/\/(\/\S+\/desktop\.html)/.exec(line)?.[1]);
    const file = leading.find((path) => path !== undefined);
    assert.ok(file !== undefined, 'the browser is led by a file');
    assert.equal(shown.includes(token), false, 'the address is in ps');
    await until('the file that leads on is gone once it is used', () => !existsSync(file));

    const { code, stderr } = await first.finished;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /The page was closed; the desktop goes on\./);
    assert.equal(desktop().id, id);
    debugPort = readFileSync(`${folder}/DevToolsActivePort`, 'utf8').split('\n')[0] as string;
  });

  test('is told when the connection is lost', async () => {
    const started = await chromium.connectOverCDP(`http://127.0.0.1:${debugPort}`);
    const theirs = started.contexts()[0]?.pages()[0];
    assert.ok(theirs !== undefined);
    for (const line of (await output('ps', ['-e', '-o', 'pid,args'])).split('\n')) {
      const worker = /^\s*(\d+) sshdesk: worker \d+$/.exec(line)?.[1];
      if (worker !== undefined) process.kill(Number(worker), 'SIGKILL');
    }
    await until('the loss', async () => /connection is lost/i.test(await said(theirs)));
    const { code, stderr } = await client.finished;
    assert.equal(code, 255, stderr);
    const session = await started.newBrowserCDPSession();
    // The answer may be the end itself.
    await session.send('Browser.close').catch(() => undefined);
  });
});
