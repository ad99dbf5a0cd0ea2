/**
 * Desktops that do not come up: the user sees why, on each route in its manner, and nothing is left.
 * The X server is replaced by a mount of the lab. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Child, eventually } from '../support/child.ts';
import { connectClient } from '../support/desktop-look.ts';
import {
  desktopsDirectory,
  greetRfb,
  listDesktops,
  openSubsystem,
  processesOf,
  processNamed,
  sessionsCommand,
  startDesktopServer,
} from '../support/desktop-session.ts';
import { inLab, makeKey, makeUser, run, type TestKey } from '../support/lab.ts';
import { allProcesses, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 170_000);
const command = '/tmp/the-session';
const xvnc = '/usr/bin/Xvnc';

describe('a desktop that does not come up', lab, () => {
  let server: TestServer;
  let key: TestKey;
  const asAlice = () => ({ user: 'alice', key });

  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    makeUser('nobodyshome', { authorizedKeys: [key.line], shell: '/usr/sbin/nologin' });
    server = await startDesktopServer(`exec ${command}`);
  });
  after(async () => await server?.stop());

  /** What the next desktop runs. */
  function session(script: string): void {
    writeFileSync(command, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    chmodSync(command, 0o755);
  }

  /** In the place of the X server, as long as `during` runs. */
  async function withXvnc(script: string, during: () => Promise<void>): Promise<void> {
    const file = '/tmp/not-xvnc';
    rmSync(file, { force: true });
    writeFileSync(file, script);
    chmodSync(file, 0o755);
    run('mount', ['--bind', file, xvnc]);
    try {
      await during();
    } finally {
      run('umount', [xvnc]);
    }
  }

  async function nothingIsLeft(): Promise<void> {
    assert.deepEqual(listDesktops(), []);
    await eventually('no directory', async () => readdirSync(desktopsDirectory).length === 0);
    await eventually(
      'no process',
      async () => !allProcesses().some(({ title }) => /Xvnc|dbus-|the-session/.test(title)),
    );
    await eventually('no leader', async () => {
      return !allProcesses().some(({ title }) => title.startsWith('sshdesk: leader'));
    });
    assert.deepEqual(
      readdirSync('/tmp/.X11-unix').filter((name) => name !== 'X9'),
      [],
    );
  }

  /** stderr of `ssh -s HOST rfb`, which must fail without a byte of RFB. */
  async function refusedRfb(user = 'alice'): Promise<readonly string[]> {
    const rfb = openSubsystem(server, 'rfb', { user, key });
    assert.equal(await rfb.status, 1);
    assert.equal(rfb.incoming.held.length, 0);
    await nothingIsLeft();
    return rfb.stderr().replaceAll('\r', '').trimEnd().split('\n');
  }

  test('the session prints seven lines and exits with 3: rfb, display, rfb.sshdesk, connect', async () => {
    session('for i in 1 2 3 4 5 6 7; do echo "line $i" >&2; done; exit 3');
    const why = 'The desktop could not be started: the session exited with status 3';
    const tail = ['line 3', 'line 4', 'line 5', 'line 6', 'line 7'];
    assert.deepEqual(await refusedRfb(), [why, ...tail]);

    const display = await ssh(
      server,
      {
        ...asAlice(),
        args: ['-s'],
        input: 'startsession --type="unix-desktop" --session="x" --protocol="rfb"\nbye\n',
      },
      'display',
    );
    assert.equal(
      display.text.slice(display.text.indexOf('NX> 1004')),
      [
        `NX> 1004 Error: ${why}`,
        ...tail.map((line) => `  ${line}`),
        'NX> 596 Session startup failed.',
        'NX> 500 ERROR: Last operation failed.',
        'NX> 105 Bye',
        'NX> 999 Bye.',
        '',
      ].join('\n'),
    );
    assert.equal(display.status, 0);
    await nothingIsLeft();

    const args = ['-W', 'rfb.sshdesk:5900', '-o', 'LogLevel=INFO'];
    const direct = await ssh(server, { ...asAlice(), args });
    assert.match(direct.stderr, new RegExp(`channel 0: open failed: connect failed: ${why}`));
    assert.equal(direct.text, '');
    assert.notEqual(direct.status, 0);
    await nothingIsLeft();

    const client = connectClient(server, {
      ...asAlice(),
      args: ['--screenshot', '/tmp/none.png'],
    });
    const { code, stderr, stdout } = await client.finished;
    assert.equal(code, 1, stderr);
    assert.equal(stdout, '');
    for (const line of [why, ...tail]) {
      assert.ok(stderr.includes(line), stderr);
    }
    assert.ok(!stderr.includes('line 2'), stderr);
    assert.ok(!existsSync('/tmp/none.png'));
    await nothingIsLeft();

    const history = JSON.parse(sessionsCommand(['history', '--json']).stdout);
    assert.deepEqual(
      history.map(({ state }: { state: string }) => state),
      ['failed', 'failed', 'failed', 'failed'],
    );
    assert.match(history[0].reason, /exited with status 3/);
  });

  test('a session that ends at once without a word is a failure too', async () => {
    session('exit 0');
    assert.deepEqual(await refusedRfb(), [
      'The desktop could not be started: the session exited with status 0',
    ]);
  });

  test('a hostile log: no control characters, no line of the dialogue, a bounded tail', async () => {
    session(
      `printf 'NX> 710 Session status: running\\n\\033]0;title\\007\\033[2Jred\\n'
       head -c 3000000 /dev/zero | tr '\\0' x
       printf '\\nNX> 999 Bye.\\n'
       exit 4`,
    );
    const lines = await refusedRfb();
    assert.match(lines[0] ?? '', /exited with status 4$/);
    assert.ok(lines.length <= 6 && lines.every((line) => line.length <= 200));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not come
    assert.ok(!/[\u0000-\u0009\u000b-\u001f\u007f]/.test(lines.join('\n')));
    const input = 'startsession --type="unix-desktop" --session="x"\nquit\n';
    const display = await ssh(server, { ...asAlice(), args: ['-s'], input }, 'display');
    assert.ok(!/^NX> 710/m.test(display.text), display.text);
    assert.equal(display.text.match(/^NX> 999/gm)?.length, 1);
    await nothingIsLeft();
  });

  test('a login shell that refuses: its own words', async () => {
    session('exec sleep 60');
    const lines = await refusedRfb('nobodyshome');
    assert.match(lines[0] ?? '', /the session exited with status 1$/);
    assert.match(lines[1] ?? '', /account is currently not available/);
  });

  test('an X server that exits, hangs, lies or cannot be run', async () => {
    session('exec sleep 60');
    await withXvnc(
      '#!/bin/sh\nfor i in 1 2 3 4 5 6 7; do echo "fatal $i" >&2; done; exit 1\n',
      async () => {
        assert.deepEqual(await refusedRfb(), [
          'The desktop could not be started: xvnc exited with status 1',
          ...['fatal 3', 'fatal 4', 'fatal 5', 'fatal 6', 'fatal 7'],
        ]);
      },
    );
    await withXvnc('#!/bin/sh\nkill -SEGV $$\n', async () => {
      assert.match((await refusedRfb()).join('\n'), /xvnc was ended by signal 11/);
    });
    await withXvnc('#!/bin/sh\necho 7 >&3; sleep 60\n', async () => {
      assert.match((await refusedRfb()).join('\n'), /reported a display that is not its own/);
    });
    await withXvnc('#!/bin/sh\necho waiting >&2; exec sleep 60\n', async () => {
      const [why, ...tail] = await refusedRfb();
      assert.match(why ?? '', /xvnc was not ready within 10 seconds$/);
      assert.deepEqual(tail, ['waiting']);
    });
    await withXvnc('no program', async () => {
      const [why] = await refusedRfb();
      assert.match(why ?? '', /^The desktop could not be started: .+/);
    });
  });

  test('a display that another server has without a socket to be seen: the next one', async () => {
    session('exec xterm');
    const other = new Child('Xvfb', [':100', '-nolisten', 'tcp'], { stdio: 'ignore' });
    try {
      await eventually('its socket', async () => existsSync('/tmp/.X11-unix/X100'));
      // What is left is the abstract name, which only a server that tries finds taken.
      rmSync('/tmp/.X11-unix/X100');
      rmSync('/tmp/.X100-lock', { force: true });
      const viewer = openSubsystem(server, 'rfb', asAlice());
      await greetRfb(viewer);
      assert.equal(listDesktops()[0]?.display, 101);
      assert.equal(sessionsCommand(['terminate', 'default']).status, 0);
      await viewer.status;
    } finally {
      await other.stop('SIGKILL');
    }
    rmSync('/tmp/.X11-unix/X100', { force: true });
    await nothingIsLeft();
  });

  test('no room for the desktop’s files: the reason of the system', async () => {
    session('exec xterm');
    run('mount', ['-t', 'tmpfs', '-o', 'nr_inodes=3,mode=711', 'tmpfs', desktopsDirectory]);
    try {
      assert.deepEqual(await refusedRfb(), [
        'The desktop could not be started: No space left on device',
      ]);
    } finally {
      run('umount', [desktopsDirectory]);
    }
  });

  test('an X server that is killed: its viewers end, and history says why', async () => {
    session('exec xterm');
    const viewer = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(viewer);
    const [desktop] = listDesktops();
    assert.ok(desktop !== undefined);
    process.kill(processNamed(desktop, 'Xvnc'), 'SIGKILL');
    assert.equal(await viewer.status, 1);
    assert.match(
      viewer.stderr(),
      /^The desktop has ended: Xvnc ended \(signal 9, Killed\)\.\r?\n/m,
    );
    await eventually('its end', async () => listDesktops().length === 0);
    await nothingIsLeft();
    const [past] = JSON.parse(sessionsCommand(['history', '--json']).stdout);
    assert.equal(past.id, desktop.id);
    assert.equal(past.reason, 'Xvnc ended (signal 9, Killed)');
  });

  test('no window within ten seconds: a warning on stderr, through connect too', async () => {
    session('exec sleep 1000');
    const viewer = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(viewer);
    const client = connectClient(server, { ...asAlice(), args: ['--listen', '0'] });
    const port = await eventually('the port', () => /:(\d+)\n/.exec(client.stdout)?.[1]);
    const socket = connect(Number(port), '127.0.0.1');
    socket.on('error', () => undefined);
    await eventually('its viewer', async () => listDesktops()[0]?.viewers === 2);
    const direct = openSubsystem(server, 'display', asAlice());
    direct.child.stdin.write('restoresession --session="default"\nbye\n');
    await direct.incoming.takeTo('NX> 999 Bye.\n');
    try {
      const warning = /No window has appeared on the desktop within 10 seconds/;
      await eventually('the warning', () => warning.test(viewer.stderr()), 20_000);
      await eventually('in a dialogue', () => warning.test(direct.stderr()));
      await eventually('by connect', () => warning.test(client.stderr));
      assert.equal(listDesktops()[0]?.state, 'running');
    } finally {
      socket.destroy();
      await client.stop('SIGKILL');
    }
    viewer.child.kill('SIGKILL');
    direct.child.kill('SIGKILL');
    assert.equal(sessionsCommand(['terminate', 'default']).status, 0);
    await nothingIsLeft();
  });

  test('through the user’s shell runs what is configured', async () => {
    session('echo "it is $SHELL" > "$HOME/seen"; exec xterm');
    const viewer = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(viewer);
    assert.equal(readFileSync('/home/alice/seen', 'utf8'), 'it is /bin/bash\n');
    viewer.child.kill('SIGKILL');
    const desktop = listDesktops()[0];
    assert.ok(desktop !== undefined);
    // Ending the one program of the session ends everything.
    process.kill(processNamed(desktop, 'xterm'), 'SIGTERM');
    await eventually('its end', async () => processesOf(desktop).length === 0);
    await nothingIsLeft();
  });
});
