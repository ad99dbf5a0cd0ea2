/**
 * Sessions of NX: Debian's nxagent under the desktop's leader, seen by Debian's nxproxy through the
 * stock `ssh`; started, suspended, resumed elsewhere, taken over, ended. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { eventually, output } from '../support/child.ts';
import {
  desktopEnvironment,
  desktopsDirectory,
  fetchDesktops,
  type ListedDesktop,
  listeningPorts,
  processNamed,
  processesOf,
  runSessions,
  startDesktopServer,
} from '../support/desktop-session.ts';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { NxDialogue } from '../support/nx-viewer.ts';
import type { TestServer } from '../support/server.ts';
import { XServer } from '../support/x-server.ts';

const lab = inLab(import.meta.url, 170_000);
const isMissing = !existsSync('/usr/bin/nxagent') || !existsSync('/usr/bin/nxproxy');

describe('sessions of NX', { ...lab, ...(isMissing ? { skip: 'no nxagent here' } : {}) }, () => {
  let server: TestServer;
  let key: TestKey;
  let large: XServer;
  let small: XServer;
  const asAlice = () => ({ user: 'alice', key });
  const dialogue = () => NxDialogue.open(server, asAlice());

  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    server = await startDesktopServer('xterm -name first -e sleep 600 & exec icewm-session');
    large = await XServer.startXvfb({ geometry: '1280x900' });
    small = await XServer.startXvfb({ geometry: '1024x768' });
  });
  after(async () => {
    for (const { id } of await fetchDesktops()) {
      await runSessions(['terminate', id]);
    }
    await server?.stop();
    await large?.[Symbol.asyncDispose]();
    await small?.[Symbol.asyncDispose]();
  });

  const one = async (): Promise<ListedDesktop> => {
    const [found] = await fetchDesktops();
    assert.ok(found !== undefined);
    return found;
  };
  const windowsOf = async (environment: NodeJS.ProcessEnv): Promise<string> =>
    // A window may go while it is looked at.
    await output('sh', ['-c', 'xwininfo -root -tree 2>&1 || true'], { env: environment });
  const showsXterm = async (screen: XServer): Promise<void> => {
    await eventually('the picture', async () =>
      // The agent is one window on the viewer's screen.
      /NX - :/.test(await windowsOf(screen.environment)),
    );
  };

  test('starts, waits for its viewer, shows its session; no port, nothing open to others', async () => {
    const asked = await dialogue();
    const said = await asked.session(
      'startsession --type="unix-desktop" --protocol="nx" --session="work" --link="lan" --geometry="800x600" --encryption="1"',
    );
    assert.match(said.get(701) ?? '', /^[0-9a-f]{32}$/);
    assert.equal(said.get(706), said.get(701));
    assert.equal(said.get(707), '1');
    const { id, display } = await one();
    assert.equal(said.get(705), String(display));
    const user = `${desktopsDirectory}/${id}/user`;
    assert.equal(statSync(`${user}/nx/options`).mode & 0o777, 0o600);
    assert.equal(statSync(`${user}/nx`).mode & 0o777, 0o700);
    assert.deepEqual(
      listeningPorts().filter((port) => port !== server.port),
      [],
    );
    await using viewer = await asked.view(said, large);
    await showsXterm(large);
    await eventually('its xterm', async () =>
      /"first"/.test(await windowsOf(desktopEnvironment(await one()))),
    );
    assert.match(viewer.log(), /Session: Session started/);
  });

  test('its viewer has gone: suspended, its programs go on; seen again on another screen', async () => {
    const before = processNamed(await one(), 'xterm');
    await eventually('suspended', async () => (await one()).state === 'detached');
    assert.match(await windowsOf(desktopEnvironment(await one())), /"first"/);
    const asked = await dialogue();
    const said = await asked.session(
      `restoresession --id="${(await one()).id}" --protocol="nx" --link="adsl"`,
    );
    await using _viewer = await asked.view(said, small);
    await showsXterm(small);
    assert.equal(processNamed(await one(), 'xterm'), before);
    // Taken over from a second place: the first is suspended before.
    const second = await dialogue();
    const again = await second.session(
      `restoresession --id="${(await one()).id}" --protocol="nx" --link="adsl"`,
    );
    assert.notEqual(again.get(701), said.get(701));
    await using _other = await second.view(again, large);
    await _viewer.gone();
    await showsXterm(large);
    assert.equal(processNamed(await one(), 'xterm'), before);
    // Suspended by a word.
    assert.equal((await runSessions(['suspend', (await one()).id])).status, 0);
    await _other.gone();
    assert.equal((await one()).state, 'detached');
  });

  test('ends, and leaves nothing', async () => {
    const { id, display } = await one();
    const desktop = await one();
    assert.equal((await runSessions(['terminate', id])).status, 0);
    assert.deepEqual(processesOf(desktop), []);
    assert.deepEqual(readdirSync(desktopsDirectory), []);
    assert.ok(!existsSync(`/tmp/.X11-unix/X${display}`));
    assert.ok(!existsSync(`/tmp/.X${display}-lock`));
  });
});
