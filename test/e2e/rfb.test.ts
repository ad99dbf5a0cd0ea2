/**
 * Opening a desktop as plain RFB: who shares it, who may, what its programs are given and what
 * nobody else can reach. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { eventually, output, run as runProgram } from '../support/child.ts';
import { isFilled, lookForColour, lookThrough, randomColour } from '../support/desktop-look.ts';
import {
  desktopEnvironment,
  desktopsDirectory,
  greetRfb,
  type ListedDesktop,
  listDesktops,
  listeningPorts,
  openSubsystem,
  processesOf,
  processNamed,
  sessionsCommand,
  startDesktopServer,
} from '../support/desktop-session.ts';
import { inLab, type LabUser, makeKey, makeUser, run, type TestKey } from '../support/lab.ts';
import { firstPicture } from '../support/rfb-client.ts';
import { readProcFile, type TestServer } from '../support/server.ts';
import { spawnClient, ssh, sshArguments } from '../support/stock-client.ts';
import { drawWindow } from '../support/x-window.ts';

const lab = inLab(import.meta.url, 170_000);
const area = { x: 500, y: 60, width: 200, height: 160 };
/** What of it no title bar or frame of the window manager can reach. */
const inner = { x: 520, y: 110, width: 160, height: 90 };
const pamRecord = '/tmp/pam-record';

describe('rfb', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let alice: LabUser;
  let bob: LabUser;
  const asAlice = () => ({ user: 'alice', key });

  before(async () => {
    key = makeKey('ed25519');
    alice = makeUser('alice', { authorizedKeys: [key.line], groups: ['video', 'games'] });
    bob = makeUser('bob', { authorizedKeys: [key.line] });
    writeFileSync(
      '/tmp/record.sh',
      `#!/bin/sh\necho "$PAM_TYPE $PAM_SERVICE $PAM_USER $PAM_TTY $PAM_RHOST" >> ${pamRecord}\n`,
      { mode: 0o755 },
    );
    writeFileSync('/tmp/pam_env.conf', 'FROM_PAM DEFAULT=yes\nDISPLAY DEFAULT=:9\n');
    writeFileSync(
      '/etc/pam.d/desktop-test',
      [
        '@include common-auth',
        '@include common-account',
        'session required pam_exec.so /tmp/record.sh',
        'session required pam_env.so conffile=/tmp/pam_env.conf',
        '@include common-session',
        '',
      ].join('\n'),
    );
    server = await startDesktopServer('sleep 1000 & xterm & exec icewm-session', {
      config: ['PAMServiceName desktop-test', 'AcceptEnv FROM_CLIENT LC_*'],
    });
  });
  after(async () => await server?.stop());

  function desktopOf(owner: string): ListedDesktop {
    const found = listDesktops().find((desktop) => desktop.owner === owner);
    assert.ok(found !== undefined, `no desktop of ${owner}`);
    return found;
  }

  function environmentOf(pid: number): ReadonlyMap<string, string> {
    const entries = readProcFile(pid, 'environ').split('\0').filter(Boolean);
    return new Map(
      entries.map((entry) => [
        entry.slice(0, entry.indexOf('=')),
        entry.slice(entry.indexOf('=') + 1),
      ]),
    );
  }

  const pamCalls = (tty: string): readonly string[] =>
    readFileSync(pamRecord, 'utf8')
      .split('\n')
      .filter((line) => line.includes(` ${tty} `));

  test('two at once, before there is a desktop, share one and see the same', async () => {
    const children = [1, 2].map(() =>
      spawnClient('ssh', sshArguments(server, { ...asAlice(), args: ['-s'] }, 'rfb')),
    );
    try {
      await Promise.all(children.map((child) => firstPicture(child.stdout, child.stdin)));
      assert.equal(listDesktops().length, 1);
      assert.equal(desktopOf('alice').viewers, 2);
      const shown = randomColour();
      const window = await drawWindow(desktopEnvironment(desktopOf('alice')), {
        colour: shown,
        area,
      });
      await lookForColour(server, asAlice(), inner, shown);
      const [one, two] = await Promise.all([1, 2].map(() => lookThrough(server, asAlice())));
      assert.ok(one !== undefined && two !== undefined);
      assert.ok(isFilled(one, inner, shown) && isFilled(two, inner, shown));
      // Not what somebody else gets to see.
      const his = await lookThrough(server, { user: 'bob', key });
      assert.equal(isFilled(his, inner, shown), false);
      assert.equal(sessionsCommand(['terminate', 'default'], bob).status, 0);
      await window.stop();
    } finally {
      for (const child of children) {
        child.kill('SIGKILL');
      }
    }
    await eventually('detached', async () => desktopOf('alice').state === 'detached');
  });

  test('the programs run as the user, with the user’s groups, and nothing of ours open', async () => {
    const desktop = desktopOf('alice');
    const groups = run('id', ['-G', 'alice']).trim().split(' ').sort();
    for (const name of ['Xvnc', 'icewm', 'xterm', 'sleep']) {
      const status = readProcFile(processNamed(desktop, name), 'status');
      assert.match(status, new RegExp(`^Uid:(\t${alice.uid}){4}$`, 'm'), name);
      assert.match(status, new RegExp(`^Gid:(\t${alice.gid}){4}$`, 'm'), name);
      const listed = /^Groups:\t(.*?) ?$/m.exec(status)?.[1]?.split(' ').sort();
      assert.deepEqual(listed, groups, name);
      assert.match(status, /^CapPrm:\t0+$/m, name);
    }
    const pid = processNamed(desktop, 'sleep');
    // What it inherits; a shell without job control lets it ignore INT and QUIT, nothing else.
    const status = readProcFile(pid, 'status');
    assert.match(status, /^SigIgn:\t0+[06]$/m);
    assert.match(status, /^SigBlk:\t0+$/m);
    const open = readdirSync(`/proc/${pid}/fd`);
    assert.deepEqual(open.sort(), ['0', '1', '2']);
    assert.equal(readlinkSync(`/proc/${pid}/fd/0`), '/dev/null');
    assert.equal(readlinkSync(`/proc/${pid}/cwd`), alice.home);
  });

  test('the environment: the user’s, PAM’s, the desktop’s own; nothing of the client', async () => {
    const before = desktopOf('alice');
    assert.equal(sessionsCommand(['terminate', 'default'], alice).status, 0);
    const withEnvironment = {
      ...asAlice(),
      args: ['-o', 'SendEnv=FROM_CLIENT LC_EVIL', '-A'],
      environment: { FROM_CLIENT: 'yes', LC_EVIL: 'yes' },
    };
    // The client's values do reach a command: what is tested below is not for want of sending.
    const sent = await ssh(server, withEnvironment, 'echo "$FROM_CLIENT $LC_EVIL $FROM_PAM"');
    assert.equal(sent.text, 'yes yes yes\n');
    await lookThrough(server, withEnvironment);
    const desktop = desktopOf('alice');
    assert.notEqual(desktop.id, before.id);
    const user = `${desktopsDirectory}/${desktop.id}/user`;
    for (const name of ['icewm', 'xterm', 'sleep']) {
      const found = environmentOf(processNamed(desktop, name));
      const { FROM_CLIENT, LC_EVIL, SSH_CONNECTION, SSH_CLIENT, SSH_TTY, ...rest } =
        Object.fromEntries(found);
      assert.deepEqual(
        [FROM_CLIENT, LC_EVIL, SSH_CONNECTION, SSH_CLIENT, SSH_TTY],
        Array.from({ length: 5 }).fill(undefined),
        name,
      );
      const { DISPLAY, XAUTHORITY, HOME, USER, LOGNAME, SHELL, XDG_RUNTIME_DIR, FROM_PAM } = rest;
      // Not the client's own socket: the desktop's, which serves whoever looks at it.
      assert.equal(rest['SSH_AUTH_SOCK'], `${user}/agent`);
      assert.deepEqual(
        { DISPLAY, XAUTHORITY, HOME, USER, LOGNAME, SHELL, XDG_RUNTIME_DIR, FROM_PAM },
        {
          DISPLAY: `:${desktop.display}`,
          XAUTHORITY: `${user}/Xauthority`,
          HOME: alice.home,
          USER: 'alice',
          LOGNAME: 'alice',
          SHELL: '/bin/bash',
          XDG_RUNTIME_DIR: `${user}/run`,
          FROM_PAM: 'yes',
        },
        name,
      );
      assert.equal(found.get('XDG_SESSION_TYPE'), 'x11');
    }
    assert.equal(lstatSync(`${user}/run`).mode & 0o7777, 0o700);
    assert.equal(lstatSync(`${user}/run`).uid, alice.uid);
  });

  test('each desktop has a PAM session and a D-Bus of its own', async () => {
    const one = desktopOf('alice');
    const tty = `:${one.display}`;
    const during = pamCalls(tty).length;
    const dialogue = { ...asAlice(), args: ['-s'] };
    const start = 'startsession --type="unix-desktop" --session="second"\nquit\n';
    await ssh(server, { ...dialogue, input: start }, 'display');
    const two = listDesktops().find(({ name }) => name === 'second');
    assert.ok(two !== undefined);
    // An earlier desktop may have had the number.
    const since = pamCalls(`:${two.display}`).length - 1;
    assert.deepEqual(pamCalls(`:${two.display}`).slice(since), [
      `open_session desktop-test alice :${two.display} `,
    ]);
    assert.equal(pamCalls(tty).length, during, 'opening another leaves the first alone');
    const buses = [one, two].map((desktop) =>
      environmentOf(processNamed(desktop, 'icewm')).get('DBUS_SESSION_BUS_ADDRESS'),
    );
    assert.match(String(buses[0]), /^unix:/);
    assert.match(String(buses[1]), /^unix:/);
    assert.notEqual(buses[0], buses[1]);
    for (const desktop of [one, two]) {
      processNamed(desktop, 'dbus-daemon');
    }
    assert.equal(sessionsCommand(['terminate', 'second'], alice).status, 0);
    assert.deepEqual(pamCalls(`:${two.display}`).slice(since), [
      `open_session desktop-test alice :${two.display} `,
      `close_session desktop-test alice :${two.display} `,
    ]);
    // Looking at one opens and closes the login's session, never the desktop's.
    await lookThrough(server, asAlice());
    assert.equal(pamCalls(tty).length, during);
    assert.equal(pamCalls(tty).at(-1), `open_session desktop-test alice ${tty} `);
  });

  test('nobody else reaches the display: no TCP, no way in without the cookie', async () => {
    const desktop = desktopOf('alice');
    assert.deepEqual(listeningPorts(), [server.port]);
    const { XAUTHORITY: _cookie, ...without } = desktopEnvironment(desktop);
    await output('xdpyinfo', [], { env: desktopEnvironment(desktop) });
    const asUser = (user: LabUser, ...words: string[]) =>
      runProgram(
        'setpriv',
        [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups', ...words],
        { env: { ...without, HOME: user.home }, cwd: '/' },
      );
    for (const user of [alice, bob]) {
      const refused = await asUser(user, 'xdpyinfo');
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, /unable to open display/);
    }
    const socket = `${desktopsDirectory}/${desktop.id}/user/rfb.sock`;
    const connects = `require('net').connect(${JSON.stringify(socket)}).on('error', (e) => { console.log(e.code); process.exit(1); }).on('connect', () => process.exit(0))`;
    assert.equal((await asUser(alice, process.execPath, '-e', connects)).code, 0);
    const foreign = await asUser(bob, process.execPath, '-e', connects);
    assert.deepEqual([foreign.code, foreign.stdout], [1, 'EACCES\n']);
    for (const file of ['user', 'user/Xauthority', 'control']) {
      const seen = await asUser(bob, 'cat', `${desktopsDirectory}/${desktop.id}/${file}`);
      assert.notEqual(seen.code, 0, file);
    }
    // Neither does the command line give the cookie away.
    const cookie = readFileSync(`${desktopsDirectory}/${desktop.id}/user/Xauthority`).subarray(-16);
    for (const pid of processesOf(desktop)) {
      const text = Buffer.from(
        readProcFile(pid, 'cmdline') + readProcFile(pid, 'environ'),
        'latin1',
      );
      assert.ok(!text.includes(cookie) && !text.includes(cookie.toString('hex')));
    }
  });

  test('forty viewers that are killed leave nothing of them, and the desktop as it was', async () => {
    const desktop = desktopOf('alice');
    await eventually('detached', async () => desktopOf('alice').state === 'detached');
    const base = await server.settled();
    for (let round = 0; round < 10; round++) {
      await Promise.all([1, 2, 3, 4].map(() => lookThrough(server, asAlice())));
    }
    await eventually('detached', async () => desktopOf('alice').state === 'detached');
    assert.deepEqual(await server.leftovers(base), []);
    assert.equal(desktopOf('alice').id, desktop.id);
  });

  test('a storm of sizes, at its edges too: the last one counts, who can follow stays', async () => {
    const viewers = [1, 2, 3].map(() => openSubsystem(server, 'rfb', asAlice()));
    const [one, two, rigid] = viewers;
    assert.ok(one !== undefined && two !== undefined && rigid !== undefined);
    for (const viewer of viewers) {
      await greetRfb(viewer);
    }
    const sizes = Array.from({ length: 60 }, (_, i) => [300 + 7 * i, 900 - 5 * i] as const);
    const storm = [[1, 1], [65_535, 65_535], [0, 0], ...sizes, [1111, 701]] as const;
    const setEncodings = Buffer.from([2, 0, 0, 1, 0, 0, 0, 0]);
    setEncodings.writeInt32BE(-308 /* ExtendedDesktopSize */, 4);
    const wanted = storm.map(([width, height]) => {
      const message = Buffer.alloc(24);
      message[0] = 251;
      message.writeUInt16BE(width, 2);
      message.writeUInt16BE(height, 4);
      message[6] = 1;
      message.writeUInt16BE(width, 16);
      message.writeUInt16BE(height, 18);
      return message;
    });
    // An answer to a request says that what it can was read.
    const request = Buffer.from([3, 0, 0, 0, 0, 0, 0, 1, 0, 1]);
    two.child.stdin.write(Buffer.concat([setEncodings, request]));
    await two.incoming.take(4);
    one.child.stdin.write(Buffer.concat([setEncodings, ...wanted]));
    await eventually('the last size', async () => desktopOf('alice').geometry === '1111x701');
    // The X server has no use for a viewer that cannot follow; it is told, and not counted on.
    assert.equal(await rigid.status, 1);
    assert.match(rigid.stderr(), /The display has closed the connection\./);
    const left = desktopOf('alice');
    assert.deepEqual([left.viewers, left.state], [2, 'running'], one.stderr() + two.stderr());
    for (const viewer of [one, two]) {
      viewer.child.kill('SIGKILL');
      await viewer.status;
    }
    await eventually('detached', async () => desktopOf('alice').state === 'detached');
    const seen = await lookThrough(server, asAlice());
    assert.deepEqual([seen.width, seen.height], [1111, 701]);
  });

  test('a display that does not answer holds up nobody', async () => {
    const desktop = desktopOf('alice');
    const xvnc = processNamed(desktop, 'Xvnc');
    process.kill(xvnc, 'SIGSTOP');
    try {
      const since = Date.now();
      assert.deepEqual(
        listDesktops().map(({ id }) => id),
        [desktop.id],
      );
      assert.ok(Date.now() - since < 6_000, `${Date.now() - since} ms`);
      // Somebody else starts, looks and ends meanwhile.
      await lookThrough(server, { user: 'bob', key });
      assert.equal(sessionsCommand(['terminate', 'default'], bob).status, 0);
    } finally {
      process.kill(xvnc, 'SIGCONT');
    }
    await lookThrough(server, asAlice());
    assert.equal(desktopOf('alice').id, desktop.id);
  });

  test('suspend ends its viewers, the window stays', async () => {
    const desktop = desktopOf('alice');
    const viewers = [1, 2].map(() => openSubsystem(server, 'rfb', asAlice()));
    for (const viewer of viewers) {
      await greetRfb(viewer);
    }
    const pids = processesOf(desktop);
    assert.equal(sessionsCommand(['suspend', desktop.id], alice).status, 0);
    for (const viewer of viewers) {
      assert.equal(await viewer.status, 0);
    }
    const { state, viewers: count } = desktopOf('alice');
    assert.deepEqual([state, count], ['detached', 0]);
    assert.deepEqual(processesOf(desktop), pids);
    assert.equal(sessionsCommand(['terminate', 'default'], alice).status, 0);
  });
});

describe('who may not run commands opens no desktop', lab, () => {
  let key: TestKey;
  let server: TestServer | undefined;
  before(() => {
    key = makeKey('ed25519');
  });
  after(async () => await server?.stop());

  type Way = 'rfb' | 'display' | 'rfb.sshdesk' | 'shell';
  const ways: readonly Way[] = ['rfb', 'display', 'rfb.sshdesk'];

  /** What the peer says first, by one way; empty when it is refused. */
  async function open(user: string, way: Way): Promise<string> {
    assert.ok(server !== undefined);
    const args = way === 'rfb.sshdesk' ? ['-W', 'rfb.sshdesk:5900'] : ['-s'];
    const command = way === 'rfb.sshdesk' || way === 'shell' ? [] : [way];
    const options = { user, key, args: way === 'shell' ? [] : args };
    const child = spawnClient('ssh', sshArguments(server, options, ...command));
    child.stdin.on('error', () => undefined);
    child.stderr.resume();
    const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
    try {
      return await new Promise<string>((resolve) => {
        child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString('latin1').slice(0, 5)));
        child.stdout.once('end', () => resolve(''));
      });
    } finally {
      clearTimeout(timer);
      child.kill('SIGKILL');
    }
  }

  async function openEach(user: string): Promise<Readonly<Record<string, string>>> {
    const found: Record<string, string> = {};
    for (const way of ways) {
      found[way] = await open(user, way);
    }
    return found;
  }
  const none = { rfb: '', display: '', 'rfb.sshdesk': '' };
  const all = { rfb: 'RFB 0', display: 'HELLO', 'rfb.sshdesk': 'RFB 0' };

  async function withConfig(config: readonly string[], during: () => Promise<void>): Promise<void> {
    server = await startDesktopServer(undefined, { config });
    try {
      await during();
      for (const { id } of listDesktops()) {
        assert.equal(sessionsCommand(['terminate', id]).status, 0);
      }
    } finally {
      await server.stop();
    }
  }

  test('options of the key, and the account', async () => {
    const lines: readonly (readonly [string, string, object])[] = [
      ['free', '', all],
      ['nopty', 'no-pty ', none],
      ['restricted', 'restrict ', none],
      ['ptyonly', 'restrict,pty ', { ...all, 'rfb.sshdesk': '' }],
      ['noforward', 'no-port-forwarding ', { ...all, 'rfb.sshdesk': '' }],
      ['elsewhere', 'permitopen="127.0.0.1:5900" ', { ...all, 'rfb.sshdesk': '' }],
      ['there', 'permitopen="rfb.sshdesk:5900" ', all],
      ['forced', 'command="echo no" ', { rfb: 'no\n', display: 'no\n', 'rfb.sshdesk': '' }],
      ['forcedrfb', 'command="rfb" ', { rfb: 'RFB 0', display: 'RFB 0', 'rfb.sshdesk': 'RFB 0' }],
    ];
    for (const [name, option] of lines) {
      makeUser(name, { authorizedKeys: [option + key.line] });
    }
    makeUser('expired', { authorizedKeys: [key.line], password: 'geheim' });
    run('chage', ['-d', '0', 'expired']);
    await withConfig([], async () => {
      for (const [name, , expected] of lines) {
        assert.deepEqual(await openEach(name), expected, name);
      }
      assert.equal(await open('forcedrfb', 'shell'), 'RFB 0');
      assert.deepEqual(await openEach('expired'), none);
      const owners = listDesktops().map(({ owner }) => owner);
      assert.deepEqual(owners.sort(), [
        'elsewhere',
        'forcedrfb',
        'free',
        'noforward',
        'ptyonly',
        'there',
      ]);
    });
  });

  test('the server’s configuration', async () => {
    makeUser('dora', { authorizedKeys: [key.line] });
    const cases: readonly (readonly [string, object])[] = [
      ['PermitTTY no', none],
      ['AllowTcpForwarding no', { ...all, 'rfb.sshdesk': '' }],
      ['AllowTcpForwarding remote', { ...all, 'rfb.sshdesk': '' }],
      ['PermitOpen none', { ...all, 'rfb.sshdesk': '' }],
      ['PermitOpen rfb.sshdesk:5900', all],
      ['ForceCommand echo no', { rfb: 'no\n', display: 'no\n', 'rfb.sshdesk': '' }],
    ];
    for (const [line, expected] of cases) {
      await withConfig([line], async () => {
        assert.deepEqual(await openEach('dora'), expected, line);
      });
    }
  });
});
