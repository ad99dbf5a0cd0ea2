/**
 * What an old client does from its first byte to its picture: the account `nx`, the commands as such
 * clients send them, and Debian's nxproxy behind `bye`. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { eventually, output } from '../support/child.ts';
import { desktopEnvironment, fetchDesktops, runSessions } from '../support/desktop-session.ts';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { openHandshake, startNxServer } from '../support/nx-account.ts';
import { NxDialogue } from '../support/nx-viewer.ts';
import type { TestServer } from '../support/server.ts';
import { XServer } from '../support/x-server.ts';

const lab = inLab(import.meta.url, 110_000);
const isMissing = !existsSync('/usr/bin/nxagent') || !existsSync('/usr/bin/nxproxy');
const secret = 'oldpw-Xy7';
const more =
  '--link="lan" --backingstore="1" --encryption="1" --cache="16M" --images="64M" --shmem="1" --shpix="1" --strict="0" --composite="1" --media="0" --session="mysess" --type="unix-desktop" --geometry="800x600" --client="linux" --keyboard="pc105/us" --screeninfo="1024x768x24+render"';

describe('an old client', { ...lab, ...(isMissing ? { skip: 'no nxagent here' } : {}) }, () => {
  let server: TestServer;
  let key: TestKey;
  let screen: XServer;

  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { password: secret });
    server = await startNxServer([key.line], {
      session: 'xterm -name first -e sleep 600 & exec icewm-session',
    });
    screen = await XServer.startXvfb({ geometry: '1280x900' });
  });
  after(async () => {
    for (const { id } of await fetchDesktops()) {
      await runSessions(['terminate', id]);
    }
    await server?.stop();
    await screen?.[Symbol.asyncDispose]();
  });

  async function loggedIn(): Promise<NxDialogue> {
    const asked = await NxDialogue.over(openHandshake(server, { key }));
    await asked.command('hello NXCLIENT - Version 3.2.0');
    await asked.command('SET SHELL_MODE SHELL');
    await asked.command('SET AUTH_MODE PASSWORD');
    const welcome = await asked.command(`login\nalice\n${secret}`);
    assert.match(welcome, /NX> 103 Welcome to: host user: alice\n/);
    return asked;
  }
  const windowsOf = (environment: NodeJS.ProcessEnv): Promise<string> =>
    output('sh', ['-c', 'xwininfo -root -tree 2>&1 || true'], { env: environment });
  const showsAgent = () =>
    eventually('the picture', async () => /NX - :/.test(await windowsOf(screen.environment)));

  test('starts a session that speaks NX without having asked for it, sees it, and resumes it', async () => {
    const first = await loggedIn();
    const started = await first.session(`startsession  ${more}`);
    assert.match(started.get(701) ?? '', /^[0-9a-f]{32}$/);
    assert.equal(started.get(706), started.get(701));
    assert.equal(started.get(707), '1');
    {
      await using _viewer = await first.view(started, screen);
      await showsAgent();
      // An agent whose first viewer goes before its session has begun ends with it.
      const [desktop] = await fetchDesktops();
      assert.ok(desktop !== undefined);
      await eventually('its xterm', async () =>
        /"first"/.test(await windowsOf(desktopEnvironment(desktop))),
      );
    }
    await eventually('it is suspended', async () =>
      (await fetchDesktops()).some(({ state }) => state === 'detached'),
    );
    const second = await loggedIn();
    const listed = await second.command(
      'listsession --user="alice" --status="suspended,running" --geometry="1280x900x24+render" --type="unix-desktop"',
    );
    const id = started.get(700)?.slice(-32) ?? '';
    assert.match(
      listed,
      new RegExp(`^\\d+ +unix-desktop +${id} [A-Z-]{8} .* Suspended +mysess`, 'm'),
    );
    const resumed = await second.session(`restoresession ${more} --id="${id}"`);
    assert.equal(resumed.get(700), started.get(700));
    await using _viewer = await second.view(resumed, screen);
    await showsAgent();
  });
});
