/**
 * `sshdesk connect --protocol nx`: the local nxproxy on a private socket, a desktop that is started, left,
 * resumed by another line. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type Child, eventually, output } from '../support/child.ts';
import { connectTo, spawnConnect } from '../support/connect-client.ts';
import {
  desktopsDirectory,
  fetchDesktops,
  type ListedDesktop,
  listeningPorts,
  processNamed,
  runSessions,
  startDesktopServer,
} from '../support/desktop-session.ts';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import type { TestServer } from '../support/server.ts';
import { XServer } from '../support/x-server.ts';

const lab = inLab(import.meta.url, 100_000);
const isMissing = !existsSync('/usr/bin/nxagent') || !existsSync('/usr/bin/nxproxy');
const runtime = '/tmp/nx-runtime';

describe('connect by NX', { ...lab, ...(isMissing ? { skip: 'no nxagent here' } : {}) }, () => {
  let server: TestServer;
  let key: TestKey;
  let screen: XServer;

  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    mkdirSync(runtime, { mode: 0o700 });
    server = await startDesktopServer('xterm -name first -e sleep 600 & exec icewm-session');
    screen = await XServer.startXvfb({ geometry: '1024x768' });
  });
  after(async () => {
    for (const { id } of await fetchDesktops()) {
      await runSessions(['terminate', id]);
    }
    await server?.stop();
    await screen?.[Symbol.asyncDispose]();
  });

  const options = (...args: readonly string[]) => {
    const { DISPLAY = '', XAUTHORITY = '' } = screen.environment;
    return {
      user: 'alice',
      key,
      args: ['--session', 'work', ...args],
      environment: { DISPLAY, XAUTHORITY, XDG_RUNTIME_DIR: runtime },
    };
  };
  const work = async (): Promise<ListedDesktop> => {
    const found = (await fetchDesktops()).find(({ name }) => name === 'work');
    assert.ok(found !== undefined);
    return found;
  };
  const opened = async (client: Child): Promise<void> => {
    await eventually(
      'the desktop runs',
      () => {
        assert.ok(!client.hasExited, client.stderr);
        return readdirSync(desktopsDirectory).some((id) => {
          const file = `${desktopsDirectory}/${id}/user/nx/state`;
          return existsSync(file) && readFileSync(file, 'utf8') === 'RUNNING';
        });
      },
      20_000,
    );
    const windows = await output('xwininfo', ['-root', '-tree'], { env: screen.environment });
    assert.match(windows, /NX - :/);
  };

  test('starts a desktop and shows it: a socket in a folder of mode 0700, no port', async () => {
    await using client = spawnConnect(server, options('--protocol', 'nx', '--geometry', '640x480'));
    await opened(client);
    const [folder = ''] = readdirSync(runtime);
    assert.equal(statSync(`${runtime}/${folder}`).mode & 0o777, 0o700);
    assert.equal(statSync(`${runtime}/${folder}/options`).mode & 0o777, 0o600);
    assert.deepEqual(
      listeningPorts().filter((port) => port !== server.port),
      [],
    );
    const { id } = await work();
    assert.match(readFileSync(`${desktopsDirectory}/${id}/user/nx/options`, 'utf8'), /,link=lan,/);
    await eventually('its session', async () => {
      try {
        return processNamed(await work(), 'xterm');
      } catch {
        return undefined; // it has not begun yet
      }
    });
    await client.stop();
  });

  test('leaves it suspended and its own place empty; resumes it as for another line', async () => {
    await eventually('suspended', async () => (await work()).state === 'detached');
    assert.deepEqual(readdirSync(runtime), []);
    const before = processNamed(await work(), 'xterm');
    await using client = spawnConnect(server, options('--protocol', 'nx', '--link', 'adsl'));
    await opened(client);
    const { id } = await work();
    assert.match(readFileSync(`${desktopsDirectory}/${id}/user/nx/options`, 'utf8'), /,link=adsl,/);
    assert.equal(processNamed(await work(), 'xterm'), before);
    // Suspended from elsewhere: it ends well.
    assert.equal((await runSessions(['suspend', 'work'])).status, 0);
    const { code, stderr } = await client.finished;
    assert.equal(code, 0, stderr);
    assert.deepEqual(readdirSync(runtime), []);
  });

  test('without the option: told which to use', async () => {
    const { status, stderr } = await connectTo(server, options('--screenshot', '/tmp/a.png'));
    assert.equal(status, 1);
    assert.match(stderr, /It speaks NX: open it with sshdesk connect --protocol nx/);
  });

  test('what is missing or makes no sense is said before anybody logs in', async () => {
    const table = [
      [['--protocol', 'nx'], { PATH: '/nowhere' }, 1, /no nxproxy found in PATH: install it/],
      [['--protocol', 'nx'], { DISPLAY: '' }, 1, /no X display here/],
      [['--protocol', 'vnc'], {}, 2, /--protocol: rfb or nx is expected/],
      [['--link', 'lan'], {}, 2, /--link goes with --protocol nx/],
      [['--protocol', 'nx', '--link', 'lan,listen=1'], {}, 2, /--link: one of modem, isdn, adsl/],
      [['--protocol', 'nx', '--web'], {}, 2, /--protocol nx excludes --list/],
    ] as const;
    for (const [args, environment, code, why] of table) {
      const given = options(...args);
      const outcome = await connectTo(server, {
        ...given,
        environment: { ...given.environment, ...environment },
      });
      assert.equal(outcome.status, code, outcome.stderr);
      assert.match(outcome.stderr, why);
    }
  });
});
