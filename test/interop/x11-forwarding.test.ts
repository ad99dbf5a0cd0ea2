/** Windows of programs of the server on the client's X server, with Debian's ssh and xauth. In the lab. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import ssh2, { type Client, type ClientChannel } from 'ssh2';
import { eventually, output, run } from '../support/child.ts';
import { inLab, type LabUser, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { rootless, serverKind, startServer, type TestServer } from '../support/server.ts';
import { type ClientOptions, ssh, spawnClient, sshArguments } from '../support/stock-client.ts';
import { XServer } from '../support/x-server.ts';

const lab = inLab(import.meta.url, 300_000);
const firstPort = 6010;

function isReachable(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
const isFree = async (port = firstPort): Promise<boolean> => !(await isReachable(port));

/** What an X client with this cookie says first (connection setup, protocol 11.0). */
function setup(cookie: string): Buffer {
  const name = 'MIT-MAGIC-COOKIE-1';
  const head = Buffer.from([0x6c, 0, 11, 0, 0, 0, name.length, 0, 16, 0, 0, 0]);
  return Buffer.concat([head, Buffer.from(`${name}\0\0`), Buffer.from(cookie, 'hex')]);
}

/** A client whose X server is `screen`, with a session that stays until its stdin ends. */
interface Held extends AsyncDisposable {
  readonly first: string;
  /** Everything the session has written. */
  text(): string;
  say(line: string): void;
  end(): Promise<void>;
  kill(): void;
}

describe('X11 forwarding', lab, () => {
  let server: TestServer;
  let screen: XServer;
  let key: TestKey;
  let other: TestKey;
  let alice: LabUser;
  let options: ClientOptions;
  before(async () => {
    key = makeKey('ed25519');
    other = makeKey('ecdsa');
    alice = makeUser('alice', { authorizedKeys: [key.line, `no-X11-forwarding ${other.line}`] });
    makeUser('bob', { authorizedKeys: [key.line] });
    screen = await XServer.startXvfb({ geometry: '640x480' });
    const file = path.join(screen.folder, 'Xauthority');
    const cookie = readFileSync(file).subarray(-16).toString('hex');
    await output('xauth', ['-q', '-f', file, 'add', screen.display, '.', cookie]);
    server = await startServer({ config: ['UsePAM yes', 'X11Forwarding yes'] });
    options = {
      key,
      args: ['-Y'],
      environment: { DISPLAY: screen.display, XAUTHORITY: file },
    };
  });
  after(async () => {
    await server?.stop();
    await screen?.[Symbol.asyncDispose]();
  });

  const hold = async (
    to: TestServer,
    more: Partial<ClientOptions> = {},
    command = 'echo $DISPLAY; exec sh',
  ): Promise<Held> => {
    const held = { ...options, ...more };
    const child = spawnClient('ssh', sshArguments(to, held, command), held);
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString(); // such as xauth's that there was no file before
    });
    const over = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const first = await eventually('the first line', () => /^(.*)\n/.exec(text)?.[1]);
    return {
      first,
      text: () => text,
      say: (line) => void child.stdin.write(`${line}\n`),
      end: async () => {
        child.stdin.end();
        const limit = setTimeout(() => child.kill('SIGKILL'), 15_000);
        await over;
        clearTimeout(limit);
        assert.equal(child.signalCode, null, `it does not end:\n${text}${errors}`);
      },
      kill: () => child.kill('SIGKILL'),
      [Symbol.asyncDispose]: async () => {
        child.kill('SIGKILL');
        await over;
      },
    };
  };

  for (const flag of ['-X', '-Y']) {
    test(`ssh ${flag}: a program of the session sees the client's X server`, async () => {
      const { status, text, stderr } = await ssh(
        server,
        { ...options, args: [flag] },
        'echo $DISPLAY; xdpyinfo | grep dimensions',
      );
      assert.equal(status, 0, stderr);
      assert.match(text, /^localhost:10\.0\n\s+dimensions: +640x480 pixels/);
    });
  }

  test('a real window appears on the X server of the client, and goes with the session', async () => {
    await using held = await hold(
      server,
      {},
      'echo $DISPLAY; xterm -T forwarded-window -e cat & read line; kill $!; wait',
    );
    const windows = async (): Promise<string> =>
      (await run('xwininfo', ['-root', '-tree'], { env: screen.environment })).stdout;
    await eventually('the window', async () => (await windows()).includes('forwarded-window'));
    held.say('enough');
    await held.end();
    await eventually('it is gone', async () => !(await windows()).includes('forwarded-window'));
  });

  test('two users at once have displays and authority files of their own', async () => {
    await using alice = await hold(server);
    await using bob = await hold(server, { user: 'bob' });
    assert.deepEqual([alice.first, bob.first].toSorted(), ['localhost:10.0', 'localhost:11.0']);
    for (const held of [alice, bob]) {
      held.say('xauth list; xdpyinfo | grep -c dimensions; echo over');
      await eventually('both see it', () => held.text().includes('over'));
      const [, number] = /:(\d+)\./.exec(held.first) ?? [];
      assert.match(
        held.text(),
        new RegExp(`unix:${number} +MIT-MAGIC-COOKIE-1 +[0-9a-f]{32}\n1\nover`),
      );
      assert.equal(held.text().split('MIT-MAGIC').length, 2, held.text());
    }
    await Promise.all([alice.end(), bob.end()]);
  });

  test('another user with no cookie, or a wrong one, is refused and the owner goes on', async () => {
    await using alice = await hold(server);
    const commands = [
      `DISPLAY=${alice.first} xdpyinfo 2>&1 | tail -1`,
      `xauth add ${alice.first.replace('localhost', 'unix')} . ${'00'.repeat(16)}`,
      `DISPLAY=${alice.first} xdpyinfo 2>&1 | tail -1`,
    ];
    const bob = await ssh(server, { key, user: 'bob' }, commands.join('; '));
    assert.doesNotMatch(bob.text, /dimensions/);
    assert.equal(bob.text.match(/unable to open display/g)?.length, 2, bob.text);
    alice.say('xdpyinfo | grep -c dimensions; echo over');
    await eventually('alice sees it', () => alice.text().includes('1\nover'));
    await alice.end();
    await ssh(server, { key, user: 'bob' }, 'rm -f .Xauthority');
  });

  test('at the end the port is free and the entry is out of the authority file', {
    skip: serverKind === 'sshd' ? 'sshd leaves the entry' : false,
  }, async () => {
    await using held = await hold(server, {}, 'echo $DISPLAY; xauth list; exec sh');
    await eventually('the entry', () => held.text().includes('MIT-MAGIC-COOKIE-1'));
    assert.equal(await isFree(), false);
    await held.end();
    await eventually('the port is free', () => isFree());
    const left = await ssh(server, { key }, 'xauth list; ls .Xauthority-* 2>/dev/null');
    assert.equal(left.text, '');
  });

  test('a display ends with its session, though the connection goes on', async () => {
    const shared = ['-o', 'ControlPath=/tmp/control-%C'];
    await using master = await hold(
      server,
      { args: ['-Y', '-M', ...shared] },
      'echo $DISPLAY; exec sh',
    );
    const one = await ssh(server, { ...options, args: ['-Y', ...shared] }, 'echo $DISPLAY');
    assert.equal(one.text, 'localhost:11.0\n', one.stderr);
    await eventually('its port is free', () => isFree(6011));
    const next = await ssh(
      server,
      { ...options, args: ['-Y', ...shared] },
      'echo $DISPLAY; xdpyinfo | grep -c dimensions',
    );
    assert.equal(next.text, 'localhost:11.0\n1\n', next.stderr);
    assert.equal(master.first, 'localhost:10.0');
    assert.equal(await isFree(), false);
    await master.end();
  });

  for (const [what, title] of [
    ['a worker', /^sshdesk: worker/],
    ['the daemon', /^sshdesk: monitor/],
    ['the login’s leader', /^sshdesk: leader alice/],
  ] as const) {
    test(`port and entry go when ${what} is killed`, {
      skip: serverKind === 'sshd' ? 'sshd has neither' : false,
    }, async () => {
      await using victim = await startServer({ config: ['UsePAM yes', 'X11Forwarding yes'] });
      await using held = await hold(victim);
      assert.equal(await isFree(), false);
      for (const { pid, title: name } of victim.processes()) {
        if (title.test(name)) {
          process.kill(pid, 'SIGKILL');
        }
      }
      await eventually('the port is free', () => isFree());
      await eventually(
        'the entry is gone',
        async () => (await ssh(server, { key }, 'xauth list')).text === '',
      );
      held.kill();
    });
  }

  test('a program that shows thousands of requests is served byte by byte as well as in bulk', async () => {
    const { status, text, stderr } = await ssh(
      server,
      options,
      'for i in 1 2 3 4 5 6 7 8; do xdpyinfo -queryExtensions >/tmp/info.$i & done; wait; cat /tmp/info.? | grep -c dimensions; rm /tmp/info.?',
    );
    assert.deepEqual([status, text], [0, '8\n'], stderr);
  });

  test('nothing is forwarded where configuration or key forbid it', async () => {
    const none = 'echo "<$DISPLAY>"';
    const byKey = await ssh(server, { ...options, key: other }, none);
    assert.equal(byKey.text, '<>\n');
    for (const lines of [
      ['X11Forwarding no'],
      [],
      ['X11Forwarding yes', 'XAuthLocation none'],
      ['X11Forwarding yes', 'XAuthLocation /nonexistent'],
      ['X11Forwarding yes', 'DisableForwarding yes'],
    ]) {
      if (serverKind === 'sshd' && lines.includes('DisableForwarding yes')) {
        continue; // CVE-2025-32728: 9.2 forwards all the same
      }
      await using closed = await startServer({ config: ['UsePAM yes', ...lines] });
      const { status, text } = await ssh(closed, options, none);
      assert.deepEqual([status, text], [0, '<>\n'], lines.join());
      assert.ok(await isFree(), lines.join());
    }
  });

  test('X11DisplayOffset, and X11UseLocalhost no: the name of the host, every address', async () => {
    await using open = await startServer({
      config: ['UsePAM yes', 'X11Forwarding yes', 'X11DisplayOffset 30', 'X11UseLocalhost no'],
    });
    await using held = await hold(
      open,
      {},
      'echo $DISPLAY; xauth list; xdpyinfo | grep -c dim; exec sh',
    );
    assert.equal(held.first, 'host.lab.test:30.0');
    await eventually('it is seen', () =>
      /host\.lab\.test(?:\/unix)?:30 +MIT\S+ +\w+\n1\n/.test(held.text()),
    );
    assert.ok(await isReachable(6030, '127.0.0.2'));
    await held.end();
  });

  test('a number that somebody else listens on is passed over', async () => {
    await using held = await hold(server);
    await using second = await startServer({ config: ['UsePAM yes', 'X11Forwarding yes'] });
    const { text } = await ssh(second, { ...options, user: 'bob' }, 'echo $DISPLAY');
    assert.equal(text, 'localhost:11.0\n');
    await held.end();
  });

  describe('asked for by other clients', () => {
    let client: Client;
    const opened: { accept: () => ClientChannel }[] = [];
    before(async () => {
      client = new ssh2.Client();
      await new Promise<void>((resolve, reject) => {
        client.once('ready', resolve).once('error', reject);
        client.on('x11', (_info, accept) => opened.push({ accept }));
        client.connect({
          host: '127.0.0.1',
          port: server.port,
          username: 'alice',
          privateKey: readFileSync(key.file),
        });
      });
    });
    after(() => client.end());

    const exec = (x11: object, command: string): Promise<ClientChannel> =>
      new Promise((resolve, reject) => {
        client.exec(command, { x11 }, (error, channel) =>
          error ? reject(error) : resolve(channel),
        );
      });
    const cookie = 'ab'.repeat(16);

    test('single connection: the first is the last', {
      skip: serverKind === 'sshd' ? 'sshd lets everybody use it up' : false,
    }, async () => {
      const channel = await exec({ single: true, cookie }, 'echo $DISPLAY; cat');
      const line = await new Promise<string>((resolve) =>
        channel.once('data', (chunk: Buffer) => resolve(chunk.toString())),
      );
      assert.equal(line, 'localhost:10.0\n');
      // Who has no cookie does not use it up.
      const stranger = connect(firstPort, '127.0.0.1');
      stranger.write(setup('cd'.repeat(16)));
      const answer = await new Promise<Buffer>((resolve) => stranger.once('data', resolve));
      assert.equal(answer[0], 0, 'failed');
      stranger.destroy();
      const socket = connect(firstPort, '127.0.0.1');
      socket.write(setup(cookie));
      await eventually('the channel', () => opened.length === 1);
      await eventually('nobody else gets in', () => isFree());
      const passed = await new Promise<Buffer>((resolve) =>
        opened[0]?.accept().once('data', resolve),
      );
      assert.ok(passed.equals(setup(cookie)));
      socket.destroy();
      channel.end();
      await new Promise((resolve) => channel.once('close', resolve));
    });

    for (const [what, fields] of [
      ['a newline in the name', { protocol: 'MIT-MAGIC-COOKIE-1\nsource /etc/shadow' }],
      ['a quote in the name', { protocol: 'MIT"' }],
      ['a newline in the cookie', { cookie: `${cookie}\nremove :0` }],
      ['a blank in the cookie', { cookie: 'ab cd' }],
      ['a NUL in the cookie', { cookie: 'ab\0cd' }],
      ...(serverKind === 'sshd'
        ? []
        : ([
            ['no hexadecimal cookie', { cookie: 'xyzw' }],
            ['an empty name', { protocol: '' }],
            ['an empty cookie', { cookie: '' }],
            ['half a byte', { cookie: 'abc' }],
            ['a long cookie', { cookie: 'ab'.repeat(4000) }],
            ['a long name', { protocol: 'A'.repeat(4000) }],
          ] as const)),
    ] as const) {
      test(`${what}: refused, and the session can go on`, async () => {
        await assert.rejects(
          exec({ single: false, protocol: 'MIT-MAGIC-COOKIE-1', cookie, ...fields }, 'true'),
          /X11/,
        );
        assert.ok(await isFree());
      });
    }
  });

  test('without root too', {
    skip: serverKind === 'sshd' ? 'sshd needs root' : false,
  }, async () => {
    await using own = await startServer({ ...rootless(alice), config: ['X11Forwarding yes'] });
    const { text, stderr } = await ssh(
      own,
      options,
      'echo $DISPLAY; xdpyinfo | grep -c dimensions',
    );
    assert.equal(text, 'localhost:10.0\n1\n', stderr);
    await eventually('the port is free', () => isFree());
  });

  const needs = (program: string) => ({
    skip: existsSync(program) ? false : `${program} is not installed`,
  });

  test('plink -X', needs('/usr/bin/plink'), async () => {
    const ppk = `${key.file}.ppk`;
    await output('puttygen', [key.file, '-O', 'private', '-o', ppk]);
    const said = await output('ssh-keygen', ['-l', '-f', `${server.folder}/host_ed25519.pub`]);
    const hostKey = /SHA256:\S+/.exec(said)?.[0] ?? '';
    const { code, stdout, stderr } = await run(
      '/usr/bin/plink',
      [
        ...['-ssh', '-batch', '-X', '-P', String(server.port), '-hostkey', hostKey, '-i', ppk],
        ...['alice@127.0.0.1', 'xdpyinfo | grep -c dimensions'],
      ],
      { env: { ...screen.environment, HOME: '/root' } },
    );
    assert.deepEqual([code, stdout], [0, '1\n'], stderr);
  });

  test(
    'AsyncSSH with x11_forwarding',
    needs('/usr/lib/python3/dist-packages/asyncssh'),
    async () => {
      const program = `
import asyncio, asyncssh, sys
port, known, key, display, authority = sys.argv[1:6]
async def main():
    async with asyncssh.connect('127.0.0.1', int(port), username='alice', known_hosts=known,
                                config=None, client_keys=[key], agent_path=None) as conn:
        done = await conn.run('xdpyinfo | grep -c dimensions', x11_forwarding=True,
                              x11_display=display, x11_auth_path=authority)
        print(done.stdout, end='')
asyncio.run(main())
`;
      const { code, stdout, stderr } = await run(
        'python3',
        [
          ...['-c', program, String(server.port), server.knownHosts, key.file],
          ...[screen.display, path.join(screen.folder, 'Xauthority')],
        ],
        { env: { ...screen.environment, HOME: '/root' } },
      );
      assert.deepEqual([code, stdout], [0, '1\n'], stderr);
    },
  );

  test('nothing of it is left behind', async () => {
    const base = await server.settled();
    await ssh(server, options, 'xdpyinfo >/dev/null');
    assert.deepEqual(await server.leftovers(base), []);
  });
});
