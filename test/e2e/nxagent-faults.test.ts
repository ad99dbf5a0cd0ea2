/**
 * Sessions of NX when something goes wrong: viewers of the other kind, silent, wrong and killed ones, two
 * at once, a restart of the daemon, an agent that is killed. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { eventually, output } from '../support/child.ts';
import {
  desktopEnvironment,
  desktopsDirectory,
  fetchDesktops,
  type ListedDesktop,
  openSubsystem,
  processesOf,
  processNamed,
  runSessions,
  startDesktopServer,
} from '../support/desktop-session.ts';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { NxDialogue, type NxViewer } from '../support/nx-viewer.ts';
import { processTree, readProcFile, type TestServer } from '../support/server.ts';
import { XServer } from '../support/x-server.ts';

const lab = inLab(import.meta.url, 170_000);
const isMissing = !existsSync('/usr/bin/nxagent') || !existsSync('/usr/bin/nxproxy');

describe('faults of NX', { ...lab, ...(isMissing ? { skip: 'no nxagent here' } : {}) }, () => {
  let server: TestServer;
  let key: TestKey;
  let screen: XServer;
  const session = 'xterm -name first -e sleep 600 & exec icewm-session';
  const asAlice = () => ({ user: 'alice', key });
  const dialogue = () => NxDialogue.open(server, asAlice());

  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    server = await startDesktopServer(session);
    screen = await XServer.startXvfb({ geometry: '1024x768' });
  });
  after(async () => {
    for (const { id } of await fetchDesktops()) {
      await runSessions(['terminate', id]);
    }
    await server?.stop();
    await screen?.[Symbol.asyncDispose]();
  });

  const named = async (name: string): Promise<ListedDesktop> => {
    const found = (await fetchDesktops()).find((one) => one.name === name);
    assert.ok(found !== undefined, `no desktop ${name}`);
    return found;
  };
  const isDetached = async (name: string): Promise<void> => {
    await eventually(`${name} is left`, async () => (await named(name)).state === 'detached');
  };
  const windowsOf = async (environment: NodeJS.ProcessEnv): Promise<string> =>
    await output('sh', ['-c', 'xwininfo -root -tree 2>&1 || true'], { env: environment });
  const start = async (name: string, more: string): Promise<NxViewer> => {
    const asked = await dialogue();
    const said = await asked.session(
      `startsession --session="${name}" --protocol="nx" --link="lan" --geometry="640x480" ${more}`,
    );
    return await asked.view(said, screen);
  };
  const resume = async (name: string): Promise<NxViewer> => {
    const { id } = await named(name);
    const asked = await dialogue();
    return await asked.view(
      await asked.session(`restoresession --id="${id}" --protocol="nx" --link="lan"`),
      screen,
    );
  };
  /** As the agent itself says; cut off before that, on its way, it may not survive (docs/guide/nx.md). */
  const isShown = async (name: string): Promise<void> => {
    const { id } = await named(name);
    const file = `${desktopsDirectory}/${id}/user/nx/state`;
    await eventually(`${name} runs`, () => readFileSync(file, 'utf8') === 'RUNNING', 20_000);
    assert.match(await windowsOf(screen.environment), /NX - :/);
  };
  const answerTo = async (line: string): Promise<string> => {
    const asked = await dialogue();
    const text = await asked.command(line);
    asked.talk.child.kill();
    return text;
  };

  test('types that are not installed, values that are not allowed: refused, and nothing is started', async () => {
    for (const type of ['unix-kde', 'unix-gnome', 'unix-xfce']) {
      assert.match(
        await answerTo(`startsession --type="${type}" --session="a" --protocol="nx"`),
        new RegExp(`NX> 596 Error: Session type ${type} needs /usr/bin/.* not installed\\.`),
      );
    }
    assert.match(
      await answerTo('startsession --type="unix-desktop" --protocol="nx" --link="lan,listen=4000"'),
      /NX> 596 Error: Parameter link has a value that is not allowed\./,
    );
    assert.deepEqual(await fetchDesktops(), []);
  });

  test('an application has windows of its own on the screen, and its end is that of the desktop', async () => {
    const viewer = await start(
      'app',
      '--type="unix-application" --application="exec xterm -name alone -e sleep 600"',
    );
    await eventually('its window', async () => /"alone"/.test(await windowsOf(screen.environment)));
    const row = await answerTo('listsession --protocol="nx"');
    assert.match(row, /unix-application [0-9A-F]{32} -R---PSA .* Running +app\n/);
    const desktop = await named('app');
    process.kill(processNamed(desktop, 'sleep'));
    await viewer.gone();
    await eventually('its end', async () => (await fetchDesktops()).length === 0);
    assert.deepEqual(processesOf(desktop), []);
    await viewer[Symbol.asyncDispose]();
  });

  test('a terminal in a desktop around it, if that is asked for', async () => {
    await using viewer = await start('console', '--type="unix-console" --virtualdesktop="1"');
    await isShown('console');
    assert.match(
      await answerTo('listsession --protocol="nx"'),
      /unix-console +[0-9A-F]{32} -RD--PSA /,
    );
    const desktop = await named('console');
    const terminal = await eventually('its terminal', () => {
      try {
        return processNamed(desktop, 'xterm');
      } catch {
        return undefined; // its session has not begun yet
      }
    });
    process.kill(terminal);
    await viewer.gone();
    await eventually('its end', async () => (await fetchDesktops()).length === 0);
    assert.deepEqual(processesOf(desktop), []);
  });

  test('a first viewer that says nothing and goes, or speaks something else: nothing is left', async () => {
    for (const bytes of ['', 'GET / HTTP/1.0\r\n\r\n']) {
      const asked = await dialogue();
      await asked.session('startsession --type="unix-desktop" --session="brief" --protocol="nx"');
      const desktop = await named('brief');
      asked.talk.child.stdin.write('bye\n');
      await asked.talk.incoming.takeTo('NX> 999 Bye.\n');
      asked.talk.child.stdin.write(bytes);
      if (bytes === '') {
        asked.talk.child.kill();
      }
      await asked.talk.status;
      await eventually('its end', async () => (await fetchDesktops()).length === 0);
      await eventually('its folder', () => readdirSync(desktopsDirectory).length === 0);
      assert.deepEqual(processesOf(desktop), []);
    }
  });

  test('a proxy that is killed leaves the desktop suspended; it is resumed', async () => {
    const viewer = await start('work', '--type="unix-desktop"');
    await isShown('work');
    await eventually('its xterm', async () =>
      /"first"/.test(await windowsOf(desktopEnvironment(await named('work')))),
    );
    viewer.proxy.kill('SIGKILL');
    await viewer.gone();
    await viewer[Symbol.asyncDispose]();
    await isDetached('work');
    await using again = await resume('work');
    await isShown('work');
    assert.equal(again.proxy.exitCode, null);
  });

  test('a viewer of the other kind is told what to use; lists say which can be resumed', async () => {
    await isDetached('work');
    const { id } = await named('work');
    const before = processNamed(await named('work'), 'xterm');
    assert.match(
      await answerTo(`restoresession --id="${id}"`),
      /NX> 596 Error: Desktop work is not shown by the protocol rfb\. It speaks NX: open it with /,
    );
    const rfb = openSubsystem(server, 'rfb', asAlice());
    await rfb.incoming.take(12);
    rfb.child.kill();
    const other = (await named('default')).id;
    assert.match(
      await answerTo(`restoresession --id="${other}" --protocol="nx"`),
      /NX> 596 Error: Desktop default is not shown by the protocol nx\. It speaks RFB: /,
    );
    assert.match(
      await answerTo('listsession --protocol="nx"'),
      / Suspended +work\n[^]* N\/A +default\n/,
    );
    assert.match(
      await answerTo('listsession --protocol="rfb"'),
      / N\/A +work\n[^]* Suspended +default\n/,
    );
    assert.equal((await runSessions(['terminate', other])).status, 0);
    assert.equal(processNamed(await named('work'), 'xterm'), before);
  });

  test('silent viewers and wrong bytes cost a try, not the desktop', async () => {
    const { id } = await named('work');
    const before = processNamed(await named('work'), 'xterm');
    for (const bytes of ['', 'GET / HTTP/1.0\r\n\r\n', 'NXPROXY-3.5.0-3.5.99 cookie=00 ']) {
      const asked = await dialogue();
      await asked.session(`restoresession --id="${id}" --protocol="nx"`);
      asked.talk.child.stdin.write('bye\n');
      await asked.talk.incoming.takeTo('NX> 999 Bye.\n');
      asked.talk.child.stdin.write(bytes);
      if (bytes === '') {
        asked.talk.child.kill();
      }
      await asked.talk.status;
      await isDetached('work');
    }
    await using viewer = await resume('work');
    await isShown('work');
    assert.equal(viewer.proxy.exitCode, null);
    assert.equal(processNamed(await named('work'), 'xterm'), before);
  });

  test('two who want it at once have it one after the other', async () => {
    await isDetached('work');
    const viewers = await Promise.all([resume('work'), resume('work')]);
    const ended = await Promise.race(viewers.map((one) => one.gone().then(() => one)));
    const left = viewers.find((one) => one !== ended) as NxViewer;
    await isShown('work');
    assert.equal(left.proxy.exitCode, null);
    for (const one of viewers) {
      await one[Symbol.asyncDispose]();
    }
    await isDetached('work');
  });

  test('a daemon that starts anew finds it, and it is resumed', async () => {
    const { id } = await named('work');
    const before = processNamed(await named('work'), 'xterm');
    const old = processTree(server.pid)
      .filter(({ title }) => /^sshdesk: (monitor|worker|zygote)/.test(title))
      .map(({ pid }) => pid);
    process.kill(server.pid, 'SIGTERM');
    await eventually('the old daemon ends', () => !old.some((pid) => existsSync(`/proc/${pid}`)));
    server = await startDesktopServer(session);
    assert.equal((await named('work')).id, id);
    await using viewer = await resume('work');
    await isShown('work');
    assert.equal(viewer.proxy.exitCode, null);
    assert.equal(processNamed(await named('work'), 'xterm'), before);
  });

  test('an agent that is killed leaves nothing, not even its lock', async () => {
    const desktop = await named('work');
    const agent = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .find((pid) => readProcFile(pid, 'cmdline').startsWith('/usr/bin/nxagent\0'));
    assert.ok(agent !== undefined);
    process.kill(agent, 'SIGKILL');
    await eventually('its end', async () => (await fetchDesktops()).length === 0);
    await eventually('its folder', () => readdirSync(desktopsDirectory).length === 0);
    assert.deepEqual(processesOf(desktop), []);
    assert.ok(!existsSync(`/tmp/.X11-unix/X${desktop.display}`));
    assert.ok(!existsSync(`/tmp/.X${desktop.display}-lock`));
  });
});
