/** Desktops through the stock `ssh`: the subsystems rfb and display, and what stays. Runs in: test. */
import assert from 'node:assert/strict';
import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { end } from '../support/daemon.ts';
import { eventually, output } from '../support/child.ts';
import {
  desktopEnvironment,
  desktopsDirectory,
  finishRfb,
  forwardPort,
  greetRfb,
  listDesktops,
  listeningPorts,
  openSubsystem,
  processesOf,
  processNamed,
  sessionsCommand,
  startDesktopServer,
} from '../support/desktop-session.ts';
import { inLab, type LabUser, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { freePort, processTree, readProcFile, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 170_000);

describe('a desktop', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let alice: LabUser;
  let bob: LabUser;
  before(async () => {
    key = makeKey('ed25519');
    alice = makeUser('alice', { authorizedKeys: [key.line] });
    bob = makeUser('bob', { authorizedKeys: [key.line] });
    server = await startDesktopServer();
  });
  after(async () => await server?.stop());

  const asAlice = () => ({ user: 'alice', key });
  const asBob = () => ({ user: 'bob', key });

  test('rfb: started when there is none, shared by two, detached when they leave', async () => {
    const one = openSubsystem(server, 'rfb', asAlice());
    assert.deepEqual(await greetRfb(one), { width: 1280, height: 800 });
    const two = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(two);
    const [desktop, ...others] = listDesktops(alice);
    assert.deepEqual(others, []);
    assert.ok(desktop !== undefined);
    assert.match(desktop.id, /^[0-9A-F]{32}$/);
    const { name, owner, state, engine, geometry, depth, viewers } = desktop;
    assert.deepEqual(
      { name, owner, state, engine, geometry, depth, viewers },
      {
        name: 'default',
        owner: 'alice',
        state: 'running',
        engine: 'xvnc',
        geometry: '1280x800',
        depth: 24,
        viewers: 2,
      },
    );
    assert.deepEqual(Object.keys(desktop), [
      'id',
      'name',
      'owner',
      'state',
      'engine',
      'display',
      'geometry',
      'depth',
      'startedAt',
      'lastUsedAt',
      'viewers',
      'viewedFrom',
    ]);
    assert.match(desktop.startedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    one.child.stdin.end();
    assert.equal(await one.status, 0);
    assert.equal(one.stderr(), '');
    two.child.kill('SIGKILL');
    await two.status;
    await eventually('detached', async () => listDesktops(alice)[0]?.state === 'detached');
    const back = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(back);
    assert.equal(listDesktops(alice)[0]?.id, desktop.id);
    back.child.kill('SIGKILL');
    await back.status;
  });

  test('its processes are the user’s, with a complete environment and no TCP port', async () => {
    const [desktop] = listDesktops(alice);
    assert.ok(desktop !== undefined);
    const pids = processesOf(desktop);
    assert.ok(pids.length >= 3, String(pids));
    for (const pid of pids) {
      const status = readProcFile(pid, 'status');
      const uid = new RegExp(`^Uid:(\\t${alice.uid}){4}$`, 'm');
      assert.match(status, uid, readProcFile(pid, 'comm'));
      assert.match(status, /^CapEff:\t0+$/m);
    }
    const environment = readProcFile(processNamed(desktop, 'icewm'), 'environ').split('\0');
    const get = (name: string): string | undefined =>
      environment.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
    const userDirectory = `${desktopsDirectory}/${desktop.id}/user`;
    assert.equal(get('DISPLAY'), `:${desktop.display}`);
    assert.equal(get('XAUTHORITY'), `${userDirectory}/Xauthority`);
    assert.equal(get('HOME'), alice.home);
    assert.equal(get('USER'), 'alice');
    assert.equal(get('LOGNAME'), 'alice');
    assert.equal(get('XDG_SESSION_TYPE'), 'x11');
    assert.equal(get('XDG_RUNTIME_DIR'), `${userDirectory}/run`);
    assert.match(get('DBUS_SESSION_BUS_ADDRESS') ?? '', /^unix:/);
    assert.equal(get('SSH_CONNECTION'), undefined);
    assert.deepEqual(listeningPorts(), [server.port]);
    const modeOf = (file: string): number => lstatSync(file).mode & 0o7777;
    assert.equal(modeOf(`${desktopsDirectory}/${desktop.id}`), 0o711);
    assert.equal(modeOf(userDirectory), 0o700);
    assert.equal(modeOf(`${userDirectory}/run`), 0o700);
    assert.equal(modeOf(`${userDirectory}/Xauthority`), 0o600);
    assert.equal(modeOf(`${userDirectory}/rfb.sock`), 0o600);
    assert.equal(modeOf('/tmp/.X11-unix'), 0o1777);
    assert.equal(lstatSync('/tmp/.X11-unix').uid, 0);
  });

  test('the client chooses another size while it is connected', async () => {
    const viewer = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(viewer);
    const [desktop] = listDesktops(alice);
    assert.ok(desktop !== undefined);
    const list = 'listsession --status="running"\nquit\n';
    const setEncodings = Buffer.from([2, 0, 0, 1, 0, 0, 0, 0]);
    setEncodings.writeInt32BE(-308 /* ExtendedDesktopSize */, 4);
    const setDesktopSize = Buffer.alloc(24);
    setDesktopSize[0] = 251;
    setDesktopSize.writeUInt16BE(777, 2);
    setDesktopSize.writeUInt16BE(555, 4);
    setDesktopSize[6] = 1;
    setDesktopSize.writeUInt16BE(777, 16);
    setDesktopSize.writeUInt16BE(555, 18);
    viewer.child.stdin.write(Buffer.concat([setEncodings, setDesktopSize]));
    await eventually('the size', async () =>
      /dimensions: +777x555 /.test(
        await output('xdpyinfo', [], { env: desktopEnvironment(desktop) }),
      ),
    );
    assert.equal(listDesktops(alice)[0]?.geometry, '777x555');
    const { text } = await ssh(server, { ...asAlice(), args: ['-s'], input: list }, 'display');
    assert.match(text, new RegExp(`${desktop.id} -RD--PSA    24 777x555 `));
    // The one who comes back finds it as large as it was left.
    const again = openSubsystem(server, 'rfb', asAlice());
    assert.deepEqual(await greetRfb(again), { width: 777, height: 555 });
    again.child.kill('SIGKILL');
    await again.status;
    viewer.child.kill('SIGKILL');
    await viewer.status;
  });

  test('another user neither sees nor ends it, and gets one of his own', async () => {
    const [desktop] = listDesktops(alice);
    assert.ok(desktop !== undefined);
    assert.deepEqual(listDesktops(bob), []);
    assert.equal(sessionsCommand(['terminate', desktop.id], bob).status, 1);
    const dialogue = openSubsystem(server, 'display', asBob());
    dialogue.child.stdin.write(
      `terminate --sessionid="${desktop.id}"\nrestoresession --id="${desktop.id}"\nbye\n`,
    );
    const text = await dialogue.incoming.takeTo('NX> 999 Bye.\n');
    assert.equal(
      text.match(new RegExp(`NX> 596 Error: Session ${desktop.id} not found`, 'g'))?.length,
      2,
    );
    assert.equal(await dialogue.status, 0);
    const own = openSubsystem(server, 'rfb', asBob());
    await greetRfb(own);
    const [his] = listDesktops(bob);
    assert.notEqual(his?.id, desktop.id);
    assert.equal(listDesktops().length, 2);
    assert.equal(sessionsCommand(['terminate', 'default'], bob).status, 0);
    await own.status;
    assert.equal(listDesktops(alice)[0]?.id, desktop.id);
  });

  test('suspend ends its viewers with status 0, terminate everything', async () => {
    const viewer = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(viewer);
    const [desktop] = listDesktops(alice);
    assert.ok(desktop !== undefined);
    const pids = processesOf(desktop);
    assert.equal(sessionsCommand(['suspend', 'default'], alice).status, 0);
    assert.equal(await viewer.status, 0);
    assert.equal(viewer.stderr().trim(), 'The desktop was suspended.');
    assert.equal(listDesktops(alice)[0]?.state, 'detached');
    assert.equal(sessionsCommand(['terminate', desktop.id.toLowerCase()]).status, 0);
    assert.deepEqual(listDesktops(), []);
    assert.deepEqual(
      pids.filter((pid) => readProcFile(pid, 'comm') !== ''),
      [],
    );
    assert.ok(!existsSync(`${desktopsDirectory}/${desktop.id}`));
    assert.ok(!existsSync(`/tmp/.X11-unix/X${desktop.display}`));
    const history = JSON.parse(sessionsCommand(['history', '--json'], alice).stdout);
    assert.deepEqual([history[0].id, history[0].state], [desktop.id, 'ended']);
  });

  test('display: start, list, bye, and RFB from the next byte on, glued or not', async () => {
    const talk = openSubsystem(server, 'display', asAlice());
    const { child, incoming } = talk;
    const greeting = await incoming.takeTo('NX> 105 ');
    assert.match(
      greeting,
      /^HELLO NXSERVER - Version 3\.5\.0-\S+ .*\nNX> 103 Welcome to: \S+ user: alice\nNX> 105 $/,
    );
    child.stdin.write(
      'startsession --type="unix-desktop" --session="Big one" --geometry="1000x700" --protocol="rfb"\nlistsession --status="running,suspended" --type="unix-desktop"\nbye\nRFB 003.008\n',
    );
    const text = await incoming.takeTo('NX> 999 Bye.\n');
    const codes = [...text.matchAll(/^NX> (\d+)/gm)].map(([, code]) => code);
    assert.deepEqual(codes, [
      '700',
      '705',
      '703',
      '728',
      '1009',
      '710',
      '105',
      '127',
      '148',
      '105',
      '999',
    ]);
    assert.match(
      text,
      /\n\d+ +unix-desktop +[0-9A-F]{32} -RD--PSA +24 1000x700 +Running +Big one\n/,
    );
    assert.equal((await incoming.take(12)).toString(), 'RFB 003.008\n');
    assert.deepEqual(await finishRfb(talk, ''), { width: 1000, height: 700 });
    child.stdin.end();
    assert.equal(await talk.status, 0);
    assert.equal(talk.stderr(), '');

    const again = openSubsystem(server, 'display', asAlice());
    const id = /NX> 700 Session id: \S+-([0-9A-F]{32})\n/.exec(text)?.[1] as string;
    again.child.stdin.write(`restoresession --id="${id}"\n`);
    const resumed = await again.incoming.takeTo('NX> 710 Session status: running\nNX> 105 ');
    assert.match(resumed, /NX> 1009 Session status: resuming\n/);
    again.child.stdin.write(
      `startsession --type="unix-desktop" --session="Big one"\nterminate --sessionid="${id}"\nquit\n`,
    );
    const rest = await again.incoming.takeTo('NX> 999 Bye\n');
    assert.match(
      rest,
      /NX> 596 .*\nNX> 500 .*\nNX> 105 [^]*NX> 900 Session id: [0-9A-F]{32} terminated\.\nNX> 105 /,
    );
    assert.equal(await again.status, 0);
    assert.deepEqual(listDesktops(alice), []);
  });

  test('rfb.sshdesk in a forwarding is the same desktop, other names are refused', async () => {
    const port = await freePort();
    const forward = forwardPort(server, asAlice(), port);
    try {
      await eventually('the port', async () => listeningPorts().includes(port));
      const socket = connect(port, '127.0.0.1');
      const [first] = await new Promise<Buffer[]>((resolve, reject) => {
        socket.once('data', (bytes) => resolve([bytes]));
        socket.once('error', reject);
        socket.once('close', () => reject(new Error('closed')));
      });
      assert.equal(first?.toString(), 'RFB 003.008\n');
      assert.equal(listDesktops(alice)[0]?.viewers, 1);
      socket.destroy();
      await eventually('detached', async () => listDesktops(alice)[0]?.state === 'detached');
    } finally {
      forward.kill('SIGKILL');
    }
    const refused = await ssh(server, { ...asAlice(), args: ['-W', 'rfb.sshdesk:5901'] });
    assert.notEqual(refused.status, 0);
    assert.equal(refused.text, '');
  });

  test('a restart of the daemon leaves it as it was, under the same processes', async () => {
    const [desktop] = listDesktops(alice);
    assert.ok(desktop !== undefined);
    const pids = processesOf(desktop);
    const config = server;
    await stopDaemon(config);
    assert.deepEqual(processesOf(desktop), pids);
    assert.equal(sessionsCommand(['list']).status, 255);
    server = await startDesktopServer();
    const [found] = listDesktops(alice);
    assert.deepEqual(
      [found?.id, found?.startedAt, found?.state],
      [desktop.id, desktop.startedAt, 'detached'],
    );
    const viewer = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(viewer);
    assert.deepEqual(processesOf(desktop), pids);
    viewer.child.kill('SIGKILL');
  });

  test('ending the window manager ends the desktop', async () => {
    const viewer = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(viewer);
    const [desktop] = listDesktops(alice);
    assert.ok(desktop !== undefined);
    process.kill(processNamed(desktop, 'icewm'), 'SIGTERM');
    await viewer.status;
    await eventually('no desktop', async () => listDesktops(alice).length === 0);
    await eventually(
      'no directory',
      async () => !readdirSync(desktopsDirectory).includes(desktop.id),
    );
    assert.deepEqual(processesOf(desktop), []);
  });

  test('a leader that is killed: nothing of its desktop is left', async () => {
    const viewer = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(viewer);
    const [desktop] = listDesktops(alice);
    assert.ok(desktop !== undefined);
    const parent = /^PPid:\t(\d+)$/m.exec(
      readProcFile(processNamed(desktop, 'Xvnc'), 'status'),
    )?.[1];
    process.kill(Number(parent), 'SIGKILL');
    await viewer.status;
    await eventually('no process', async () => processesOf(desktop).length === 0);
    await eventually(
      'no directory',
      async () => !readdirSync(desktopsDirectory).includes(desktop.id),
    );
    assert.ok(!existsSync(`/tmp/.X11-unix/X${desktop.display}`));
    assert.deepEqual(listDesktops(alice), []);
  });

  test('everything killed at once: the next daemon fails what was there and starts afresh', async () => {
    const viewer = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(viewer);
    const [desktop] = listDesktops(alice);
    assert.ok(desktop !== undefined);
    await end(processTree(server.pid));
    await viewer.status;
    server = await startDesktopServer();
    assert.deepEqual(listDesktops(), []);
    assert.deepEqual(readdirSync(desktopsDirectory), []);
    assert.deepEqual(processesOf(desktop), []);
    const [past] = JSON.parse(sessionsCommand(['history', '--json'], alice).stdout);
    assert.deepEqual([past.id, past.state], [desktop.id, 'failed']);
    const fresh = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(fresh);
    assert.notEqual(listDesktops(alice)[0]?.id, desktop.id);
    assert.equal(sessionsCommand(['terminate', 'default'], alice).status, 0);
    await fresh.status;
  });

  test('a login that may not run commands opens no desktop in any way', async () => {
    for (const [who, option] of [
      ['carol', 'restrict'],
      ['dave', 'no-pty'],
      ['erin', 'command="true"'],
    ] as const) {
      makeUser(who, { authorizedKeys: [`${option} ${key.line}`] });
      for (const name of ['rfb', 'display']) {
        const outcome = await ssh(server, { user: who, key, args: ['-s'] }, name);
        assert.ok(!outcome.text.includes('RFB') && !outcome.text.includes('NX>'), `${who} ${name}`);
      }
      const direct = await ssh(server, { user: who, key, args: ['-W', 'rfb.sshdesk:5900'] });
      assert.equal(direct.text, '', who);
    }
    assert.deepEqual(listDesktops(), []);
  });

  /** SIGTERM, and once more for the logins; nothing else is touched. */
  async function stopDaemon(running: TestServer): Promise<void> {
    process.kill(running.pid, 'SIGTERM');
    await delay(300);
    if (readProcFile(running.pid, 'comm') !== '') {
      process.kill(running.pid, 'SIGTERM');
    }
    await eventually('the daemon to end', async () => {
      const status = readProcFile(running.pid, 'status');
      return status === '' || /^State:\tZ/m.test(status);
    });
  }
});
