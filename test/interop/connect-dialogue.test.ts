/**
 * `sshdesk connect` with names and sizes: the dialogue of the `display` subsystem, written out here
 * line by line, in front of a real Xvnc.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ServerChannel } from 'ssh2';
import { Writer } from '../../src/ssh/wire/writer.ts';
import { output, run } from '../support/child.ts';
import { ScriptedSshServer } from '../support/scripted-ssh-server.ts';
import { XServer } from '../support/x-server.ts';

const cli = join(import.meta.dirname, '../support/connect-cli.ts');
const id = '0123456789ABCDEF0123456789ABCDEF';
const { SSH_AUTH_SOCK: _agent, ...environment } = process.env;

const heading = `NX> 127 Available sessions: \n
Display Type             Session ID                       Options  Depth Screen         Status      Session Name
------- ---------------- -------------------------------- -------- ----- -------------- ----------- ------------------------------
`;
const row = (name: string, state = 'Suspended'): string =>
  `1       unix-desktop     ${id} --D--PSA    24 800x600        ${state}   ${name.padEnd(30)}\n`;
const started = (name: string): string =>
  [
    `NX> 700 Session id: host-1-${id}`,
    'NX> 705 Session display: 1',
    'NX> 703 Session type: unix-desktop',
    `NX> 728 Session caption: NX - alice@host:1 - ${name}`,
    'NX> 1009 Session status: starting',
    'NX> 710 Session status: running',
    'NX> 105 ',
  ].join('\n');

describe('connect talks to the display subsystem', { timeout: 120_000 }, () => {
  let folder: string;
  let desktop: XServer;
  const commands: string[] = [];
  /** What the next server does: rows of the list, and the answer to start and restore. */
  let rows = '';
  let answer: (name: string) => string = started;
  let server: ScriptedSshServer;

  function serve(channel: ServerChannel): void {
    channel.write('HELLO NXSERVER - Version 3.5.0-1 - OSS\nNX> 103 Welcome to: host user: alice\n');
    channel.write('NX> 105 ');
    let held = '';
    const onData = (data: Buffer): void => {
      held += data.toString('latin1');
      for (let end = held.indexOf('\n'); end >= 0; end = held.indexOf('\n')) {
        const command = held.slice(0, end);
        held = held.slice(end + 1);
        commands.push(command);
        if (reply(channel, command, onData)) return;
      }
    };
    channel.on('data', onData);
  }

  /** True: the channel is RFB from here. */
  function reply(channel: ServerChannel, command: string, onData: (data: Buffer) => void): boolean {
    const verb = command.split(' ')[0];
    channel.write(`${command[0]?.toUpperCase()}${command.slice(1)}\n`);
    if (verb === 'listsession') {
      channel.write(
        `${heading}${rows}\n\nNX> 148 Server capacity: not reached for user: a\nNX> 105 `,
      );
    } else if (verb === 'startsession' || verb === 'restoresession') {
      channel.write(answer('x'));
    } else if (verb === 'quit') {
      channel.write('NX> 999 Bye.\n');
      channel.exit(0);
      channel.end();
    } else if (verb === 'bye') {
      channel.off('data', onData);
      channel.write('NX> 999 Bye.\n');
      const socket = connect(desktop.rfbSocket);
      socket.on('error', () => channel.end());
      socket.pipe(channel);
      channel.pipe(socket);
      return true;
    }
    return false;
  }

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sshdesk-display-'));
    desktop = await XServer.startXvnc({ geometry: '800x600' });
    server = await ScriptedSshServer.start({
      onAuthentication: (context) => context.accept(),
      subsystems: { display: serve },
    });
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await desktop?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  function sshdesk(...args: string[]) {
    commands.length = 0;
    return run(
      process.execPath,
      [
        ...[cli, 'connect', '-F', 'none', '--batch', '-o', 'UserKnownHostsFile=/dev/null'],
        ...['-o', 'StrictHostKeyChecking=no', ...args, `alice@127.0.0.1:${server.port}`],
      ],
      { env: environment },
    );
  }
  const size = async (path: string): Promise<string> =>
    output('identify', ['-format', '%wx%h', path]);

  test('--list prints a table, --json an array', async () => {
    rows = row('my desk') + row('second', 'Running');
    const table = await sshdesk('--list');
    assert.equal(table.code, 0, table.stderr);
    assert.match(
      table.stdout,
      /^NAME +STATE +GEOMETRY +DISPLAY +ID\nmy desk +detached +800x600 +:1 /,
    );
    const json = await sshdesk('--list', '--json');
    assert.deepEqual(JSON.parse(json.stdout), [
      {
        id,
        name: 'my desk',
        type: 'unix-desktop',
        state: 'detached',
        display: 1,
        depth: 24,
        geometry: '800x600',
      },
      {
        id,
        name: 'second',
        type: 'unix-desktop',
        state: 'running',
        display: 1,
        depth: 24,
        geometry: '800x600',
      },
    ]);
    assert.equal(commands.at(-1), 'quit');
  });

  test('a host whose key has changed asks for no password in front of a desktop', async () => {
    const type = 'ecdsa-sha2-nistp256';
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const point = publicKey.export({ format: 'der', type: 'spki' }).subarray(-65);
    const blob = new Writer().text(type).text('nistp256').string(point).done().toString('base64');
    const knownHosts = join(folder, 'known_hosts');
    await writeFile(knownHosts, `[127.0.0.1]:${server.port} ${type} ${blob}\n`);
    rows = row('mine');
    answer = () => 'NX> 1011 Password: \nNX> 102 Answer: ';
    const { code, stderr } = await run(
      process.execPath,
      [
        ...[cli, 'connect', '-F', 'none', '-o', `UserKnownHostsFile=${knownHosts}`],
        ...['-o', 'StrictHostKeyChecking=no'],
        ...['--session', 'mine', '--screenshot', join(folder, 'x.png')],
        `alice@127.0.0.1:${server.port}`,
      ],
      { env: environment },
    );
    answer = started;
    assert.match(stderr, /HAS CHANGED/);
    assert.match(stderr, /a host whose key has changed is told no password/);
    assert.equal(code, 5, stderr);
    assert.match(commands.at(-1) ?? '', /^restoresession /);
  });

  test('names of a list with control characters are shown harmlessly', async () => {
    rows = row('a\x1b[2Jb');
    const { stdout } = await sshdesk('--list');
    assert.ok(stdout.includes('a\\x1b[2Jb'));
  });

  test('--session starts a desktop of that name, escaped, when there is none', async () => {
    rows = row('other');
    answer = started;
    const path = join(folder, 'named.png');
    const { code, stderr } = await sshdesk('--session', 'my "desk"\n&', '--screenshot', path);
    assert.equal(code, 0, stderr);
    assert.deepEqual(commands.slice(-2), [
      'startsession --type="unix-desktop" --session="my%20%22desk%22%0A%26" --protocol="rfb"',
      'bye',
    ]);
    assert.equal(await size(path), '800x600');
  });

  test('--session resumes the one of that name', async () => {
    rows = row('other') + row('mine');
    const { code, stderr } = await sshdesk(
      '--session',
      'mine',
      '--screenshot',
      join(folder, 'r.png'),
    );
    assert.equal(code, 0, stderr);
    assert.ok(
      commands.includes(`restoresession --id="${id}" --protocol="rfb"`),
      commands.join('\n'),
    );
  });

  test('--geometry alone is the default desktop of that size', async () => {
    rows = '';
    await sshdesk('--geometry', '1024x768', '--screenshot', join(folder, 'g.png'));
    assert.ok(
      commands.includes(
        'startsession --type="unix-desktop" --session="default" --geometry="1024x768" --protocol="rfb"',
      ),
      commands.join('\n'),
    );
  });

  test('--geometry changes the size of a live desktop', async () => {
    rows = row('default', 'Running');
    const path = join(folder, 'sized.png');
    const { code, stderr } = await sshdesk('--geometry', '777x555', '--screenshot', path);
    assert.equal(code, 0, stderr);
    assert.equal(await size(path), '777x555');
    const root = await output('xdotool', ['getdisplaygeometry'], { env: desktop.environment });
    assert.equal(root.trim(), '777 555');
  });

  test('a start that fails is exit 1 with the reason and its log, without the codes', async () => {
    rows = '';
    answer = () =>
      'NX> 1004 Error: the X server ended with status 1\nFatal server error:\n(EE) no \x1bscreens\nNX> 596 Session startup failed.\nNX> 500 ERROR: Last operation failed.\nNX> 105 ';
    const { code, stderr } = await sshdesk('--session', 'x', '--screenshot', join(folder, 'n.png'));
    assert.equal(code, 1);
    assert.match(stderr, /Error: the X server ended with status 1/);
    assert.match(stderr, /status 1\nFatal server error:\n\(EE\) no \\x1bscreens\nSession/);
    assert.match(stderr, /Session startup failed\./);
    assert.doesNotMatch(stderr, /NX>|Last operation/);
  });

  const hostile: readonly (readonly [string, (channel: ServerChannel) => void, RegExp])[] = [
    ['does not greet', (channel) => channel.write('hello\nNX> 105 '), /does not greet/],
    ['sends a line without end', (channel) => channel.write('x'.repeat(100_000)), /line too long/],
    ['sends lines without end', (channel) => channel.write('x\n'.repeat(20_000)), /says too much/],
    [
      'asks for a password',
      (channel) => channel.write('HELLO NXSERVER - Version 3\nNX> 102 Password: '),
      /asks for more \(102\)/,
    ],
    ['ends at once', (channel) => channel.end(), /ended/],
    [
      'says bye at once',
      (channel) => channel.write('HELLO NXSERVER - Version 3.5\nNX> 999 Bye.\n'),
      /did not start|ended/,
    ],
  ];
  for (const [name, serveHostile, expected] of hostile) {
    test(`a server that ${name} is exit 1`, async () => {
      await using other = await ScriptedSshServer.start({
        onAuthentication: (context) => context.accept(),
        subsystems: { display: serveHostile },
      });
      const { code, stderr } = await run(
        process.execPath,
        [
          ...[cli, 'connect', '-F', 'none', '--batch', '-o', 'UserKnownHostsFile=/dev/null'],
          ...['-o', 'StrictHostKeyChecking=no', '--list', `alice@127.0.0.1:${other.port}`],
        ],
        { env: environment },
      );
      assert.equal(code, 1, stderr);
      assert.match(stderr, expected);
    });
  }

  test('a subsystem that is refused is exit 1; a connection that breaks is exit 255', async () => {
    await using none = await ScriptedSshServer.start({
      onAuthentication: (context) => context.accept(),
    });
    await using broken = await ScriptedSshServer.start({
      onAuthentication: (context, connection) => {
        context.accept();
        setTimeout(() => connection.end(), 100);
      },
      subsystems: { display: () => undefined },
    });
    for (const [port, expected] of [
      [none.port, 1],
      [broken.port, 255],
    ] as const) {
      const { code, stderr } = await run(
        process.execPath,
        [
          ...[cli, 'connect', '-F', 'none', '--batch', '-o', 'UserKnownHostsFile=/dev/null'],
          ...['-o', 'StrictHostKeyChecking=no', '--list', `alice@127.0.0.1:${port}`],
        ],
        { env: environment },
      );
      assert.equal(code, expected, stderr);
    }
  });

  test('what the rfb subsystem says on stderr is shown when it fails', async () => {
    await using failing = await ScriptedSshServer.start({
      onAuthentication: (context) => context.accept(),
      subsystems: {
        rfb(channel) {
          channel.stderr.write('the window manager is missing\nlast line of the log\n');
          channel.exit(1);
          channel.end();
        },
      },
    });
    const { code, stderr } = await run(
      process.execPath,
      [
        ...[cli, 'connect', '-F', 'none', '--batch', '-o', 'UserKnownHostsFile=/dev/null'],
        ...['-o', 'StrictHostKeyChecking=no', '--screenshot', join(folder, 'f.png')],
        `alice@127.0.0.1:${failing.port}`,
      ],
      { env: environment },
    );
    assert.equal(code, 1);
    assert.match(stderr, /the window manager is missing\nlast line of the log\n/);
    assert.match(stderr, /did not start \(exit status 1\)/);
  });
});
