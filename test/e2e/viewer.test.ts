/**
 * A person opens a desktop with a stock viewer, types, loses the viewer and comes back: pixels are
 * compared, and the same check is seen to fail on a blank, a stale and somebody else's picture.
 * Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { connectClient, randomColour } from '../support/desktop-look.ts';
import { type Child, eventually, output } from '../support/child.ts';
import {
  desktopEnvironment,
  forwardPort,
  type ListedDesktop,
  listDesktops,
  listeningPorts,
  processNamed,
  sessionsCommand,
  startDesktopServer,
} from '../support/desktop-session.ts';
import { inLab, type LabUser, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { freePort, type TestServer } from '../support/server.ts';
import { type Area, colour, type Picture, Screen, StockViewer } from '../support/viewer.ts';
import { drawWindow } from '../support/x-window.ts';

const lab = inLab(import.meta.url, 170_000);

/** Of the desktop; the terminal is further down. */
const area: Area = { x: 500, y: 60, width: 200, height: 160 };
/** What of it no title bar or frame of the window manager can reach. */
const inner: Area = { x: 520, y: 110, width: 160, height: 90 };
const terminal = { x: 200, y: 480 };

describe('a person at a desktop', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let alice: LabUser;
  let screen: Screen;
  const windows: Child[] = [];
  before(async () => {
    key = makeKey('ed25519');
    alice = makeUser('alice', { authorizedKeys: [key.line] });
    makeUser('bob', { authorizedKeys: [key.line] });
    server = await startDesktopServer('xterm -geometry 80x12+40+400 & exec icewm-session');
    screen = await Screen.start();
  });
  after(async () => {
    for (const window of windows) {
      await window.stop();
    }
    await screen?.[Symbol.asyncDispose]();
    await server?.stop();
  });

  /** Through the forwarded name, as somebody with a viewer that wants a port. */
  async function open(user: string): Promise<{ viewer: StockViewer; close(): Promise<void> }> {
    const port = await freePort();
    const forward = forwardPort(server, { user, key }, port);
    await eventually('the port', async () => listeningPorts().includes(port));
    const viewer = StockViewer.start(screen, `127.0.0.1::${port}`);
    await viewer.window();
    return {
      viewer,
      async close() {
        await viewer.kill();
        forward.kill('SIGKILL');
      },
    };
  }

  function desktopOf(user: string): ListedDesktop {
    const found = listDesktops().find(({ owner }) => owner === user);
    assert.ok(found !== undefined, `no desktop of ${user}`);
    return found;
  }

  async function draw(user: string, shown: string): Promise<Child> {
    const window = await drawWindow(desktopEnvironment(desktopOf(user)), { colour: shown, area });
    windows.push(window);
    return window;
  }

  /** The check: every pixel of the place has the colour. `at`: where the desktop is on the screen. */
  function shows(picture: Picture, at: { x: number; y: number }, wanted: string): boolean {
    const place = { ...inner, x: inner.x + at.x, y: inner.y + at.y };
    return picture.share(place, colour(wanted)) === 1;
  }

  test('types, is cut off, comes back and finds windows and work', async () => {
    // Others each time, so that nothing of an earlier run can pass for this one.
    const [green, violet, other] = [randomColour(), randomColour(), randomColour()];
    const word = randomBytes(12).toString('hex');
    const first = await open('alice');
    const at = await first.viewer.window();
    const blank = await screen.look();
    assert.equal(shows(blank, at, green), false, 'a desktop without the window');
    const window = await draw('alice', green);
    await screen.lookFor('the green window', (picture) => shows(picture, at, green));
    const place = { x: at.x + terminal.x, y: at.y + terminal.y };
    await screen.type(`echo ${word} > typed`, place);
    await screen.press('Return');
    await eventually('the file', async () => existsSync(`${alice.home}/typed`));
    await eventually('its content', async () => readFileSync(`${alice.home}/typed`, 'utf8') !== '');
    assert.equal(readFileSync(`${alice.home}/typed`, 'utf8'), `${word}\n`);
    assert.equal(statSync(`${alice.home}/typed`).uid, alice.uid);
    const { id } = desktopOf('alice');

    await first.close();
    await eventually('detached', async () => desktopOf('alice').state === 'detached');
    const empty = await screen.look();
    assert.equal(shows(empty, at, green), false, 'no viewer, no picture');

    const second = await open('alice');
    const back = await second.viewer.window();
    const seen = await screen.lookFor('the window again', (p) => shows(p, back, green));
    assert.equal(desktopOf('alice').id, id);
    assert.equal(readFileSync(`${alice.home}/typed`, 'utf8'), `${word}\n`);

    // While nobody looks the window changes: the picture of before is stale.
    await second.close();
    await window.stop();
    await draw('alice', violet);
    const third = await open('alice');
    const now = await third.viewer.window();
    await screen.lookFor('the violet window', (picture) => shows(picture, now, violet));
    assert.equal(shows(seen, back, violet), false, 'a stale picture');
    await third.close();

    const bob = await open('bob');
    const hisPlace = await bob.viewer.window();
    await eventually('his desktop', async () => desktopOf('bob').viewers === 1);
    await draw('bob', other);
    const his = await screen.lookFor('his window', (picture) => shows(picture, hisPlace, other));
    assert.equal(shows(his, hisPlace, violet), false, 'somebody else’s picture');
    await bob.close();
  });

  test('connect: the same desktop in the viewer that it starts', async () => {
    const shown = randomColour();
    const word = randomBytes(12).toString('hex');
    const client = connectClient(server, { user: 'alice', key, environment: screen.environment });
    try {
      const at = await screen.window('TigerVNC');
      await eventually('the viewer', async () => desktopOf('alice').viewers === 1);
      await draw('alice', shown);
      // The viewer is left as the client starts it: its pixels need not be exact.
      const place = { ...inner, x: inner.x + at.x, y: inner.y + at.y };
      await screen.lookFor(
        'the window',
        (picture) => picture.share(place, colour(shown), 12) > 0.98,
      );
      await screen.type(`echo ${word} > seen`, { x: at.x + terminal.x, y: at.y + terminal.y });
      await screen.press('Return');
      await eventually('the file', async () => existsSync(`${alice.home}/seen`));
      await eventually(
        'its content',
        async () => readFileSync(`${alice.home}/seen`, 'utf8') !== '',
      );
      assert.equal(readFileSync(`${alice.home}/seen`, 'utf8'), `${word}\n`);
      const viewer = await output('pgrep', ['-P', String(client.pid), '-f', 'vncviewer']);
      process.kill(Number(viewer.trim()), 'SIGKILL');
      await client.finished;
    } finally {
      await client.stop('SIGKILL');
    }
    await eventually('detached', async () => desktopOf('alice').state === 'detached');
  });

  test('connect: its exit status says whether the desktop has ended under the viewer', async () => {
    const opened = async () => {
      const client = connectClient(server, { user: 'alice', key, environment: screen.environment });
      await screen.window('TigerVNC');
      await eventually('the viewer', async () => desktopOf('alice').viewers === 1);
      return client;
    };
    const first = await opened();
    assert.equal(sessionsCommand(['suspend', desktopOf('alice').id]).status, 0);
    const suspended = await first.finished;
    assert.equal(suspended.code, 0, suspended.stderr);
    assert.match(suspended.stderr, /The desktop was suspended\./);
    const second = await opened();
    process.kill(processNamed(desktopOf('alice'), 'Xvnc'), 'SIGKILL');
    const ended = await second.finished;
    assert.equal(ended.code, 1, ended.stderr);
    assert.match(ended.stderr, /The desktop has ended: Xvnc ended \(signal 9, Killed\)\./);
  });
});
