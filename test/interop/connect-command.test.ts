/**
 * `sshdesk connect HOST COMMAND`: streams byte for byte, the exit status, terminals, subsystems, and
 * how it ends. Against Debian's sshd too (SSHDESK_TEST_SERVER=sshd). Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { connectArguments, connectTo, spawnConnect } from '../support/connect-client.ts';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SshAgent } from '../support/ssh-agent.ts';

const lab = inLab(import.meta.url);
const quoted = (words: readonly string[]): string =>
  words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');

describe('connect runs commands', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let folder: string;
  before(async () => {
    folder = mkdtempSync('/tmp/command-');
    chmodSync(folder, 0o755);
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    const sftp = 'Subsystem sftp /usr/lib/openssh/sftp-server';
    server = await startServer({ config: ['UsePAM yes', sftp, 'AcceptEnv LANG LC_* APP_*'] });
  });
  after(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test('stdout, stderr and the status are the command’s; its words are not ours', async () => {
    const outcome = await connectTo(server, { key }, '--', 'echo out --list; echo err >&2; exit 7');
    assert.deepEqual([outcome.status, outcome.text, outcome.stderr], [7, 'out --list\n', 'err\n']);
    const bare = await connectTo(server, { key }, 'echo', '-n', '--batch', '-x');
    assert.deepEqual([bare.status, bare.text], [0, '--batch -x']);
    assert.equal((await connectTo(server, { key }, 'exit 254')).status, 254);
  });

  test('bytes of a command that are no UTF-8 arrive as they are', async () => {
    const words = connectArguments(server, { key }, 'printf', '%s');
    const script = `exec ${quoted([process.execPath, ...words])} "$(printf 'a\\377b')"`;
    const child = spawn('bash', ['-c', script], { env: { PATH: process.env.PATH, HOME: '/root' } });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    await new Promise((resolve) => child.once('close', resolve));
    assert.deepEqual([...Buffer.concat(chunks)], [0x61, 0xff, 0x62]);
  });

  test('20 MB through a command come back byte for byte, from a file and from a pipe', async () => {
    const data = randomBytes(20_000_000);
    const piped = await connectTo(server, { key, input: data }, 'cat');
    assert.ok(piped.stdout.equals(data));
    const file = path.join(folder, 'data');
    writeFileSync(file, data);
    const words = connectArguments(server, { key }, 'md5sum');
    const child = spawn('sh', ['-c', `exec ${quoted([process.execPath, ...words])} < ${file}`], {
      env: { PATH: process.env.PATH, HOME: '/root' },
    });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    await new Promise((resolve) => child.once('close', resolve));
    assert.equal(said.slice(0, 32), createHash('md5').update(data).digest('hex'));
  });

  test('who does not read our stdout holds the command up, and gets everything', async () => {
    const count = path.join(folder, 'count');
    writeFileSync(count, '');
    chmodSync(count, 0o666);
    const remote = `head -c 30000000 /dev/zero | tee >(cat >/dev/null) && echo done > ${count}`;
    const child = spawn(process.execPath, connectArguments(server, { key }, remote), {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH, HOME: '/root' },
    });
    let got = 0;
    // One chunk, and then nobody reads until the command is known to wait.
    await new Promise<void>((resolve) =>
      child.stdout.once('data', (chunk: Buffer) => {
        got += chunk.length;
        child.stdout.pause();
        resolve();
      }),
    );
    const head = await connectTo(server, { key }, `wc -c < ${count}`);
    assert.equal(head.text.trim(), '0');
    child.stdout.on('data', (chunk: Buffer) => {
      got += chunk.length;
    });
    child.stdout.resume();
    const status = await new Promise((resolve) => child.once('close', resolve));
    assert.deepEqual([status, got], [0, 30_000_000]);
  });

  test('a signal that ends the command is 255, and is named', async () => {
    const outcome = await connectTo(server, { key }, 'kill -TERM $$');
    assert.equal(outcome.status, 255);
    assert.match(outcome.stderr, /ended by signal TERM/);
  });

  test('a reader of ours that leaves ends it without a word', async () => {
    const words = quoted([process.execPath, ...connectArguments(server, { key }, 'yes')]);
    const child = spawn('bash', ['-c', `${words} | head -1; echo "$\{PIPESTATUS[0]}"`], {
      env: { PATH: process.env.PATH, HOME: '/root' },
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
    }
    await new Promise((resolve) => child.once('close', resolve));
    assert.equal(said, 'y\n255\n');
  });

  test('-n reads nothing, EOF of stdin is EOF there', async () => {
    const empty = await connectTo(server, { key, args: ['-n'], input: 'abc' }, 'wc -c');
    assert.equal(empty.text.trim(), '0');
    assert.equal((await connectTo(server, { key, input: 'abc' }, 'wc -c')).text.trim(), '3');
    // The command may end first, whatever of our stdin is left.
    const child = spawnConnect(server, { key }, 'exit 3');
    await using _child = child;
    assert.equal((await child.finished).code, 3);
  });

  test('SendEnv by patterns and SetEnv, as the server accepts them', async () => {
    const environment = { LC_TEST: 'one', APP_A: 'two', APP_SECRET: 'three', OTHER: 'four' };
    const args = ['-o', 'SendEnv=LC_* APP_* -APP_S*', '-o', 'SetEnv=APP_B=five APP_A=six'];
    const outcome = await connectTo(
      server,
      { key, args, environment },
      'env | grep -E "^(LC_|APP)"',
    );
    const seen = outcome.text.split('\n').filter((line) => /^(LC_TEST|APP)/.test(line));
    assert.deepEqual(seen.sort(), ['APP_A=six', 'APP_B=five', 'LC_TEST=one']);
  });

  test('--shell is a login shell that reads our stdin', async () => {
    const outcome = await connectTo(server, { key, args: ['--shell'], input: 'echo $0; exit 4\n' });
    assert.match(outcome.text, /^-bash$/m);
    assert.equal(outcome.status, 4);
  });

  test('-s gives a subsystem byte for byte; one that is not there is 255', async () => {
    await using sftp = spawnConnect(server, { key, args: ['-s', 'sftp'] });
    sftp.process.stdin?.write(Buffer.from([0, 0, 0, 5, 1, 0, 0, 0, 3]));
    const answer = await eventually('VERSION', () => sftp.stdout.length > 8 && sftp.stdout);
    assert.equal(answer.charCodeAt(4), 2);
    sftp.process.stdin?.end();
    assert.equal((await sftp.finished).code, 0);
    const none = await connectTo(server, { key, args: ['-s', 'nonesuch'] });
    assert.equal(none.status, 255);
    assert.match(none.stderr, /subsystem nonesuch/);
  });

  test('-tt has a terminal there; -T and -t without one here have none', async () => {
    const remote = 'tty >/dev/null && echo yes || echo no';
    assert.equal((await connectTo(server, { key, args: ['-tt'] }, remote)).text, 'yes\r\n');
    assert.equal((await connectTo(server, { key, args: ['-T'] }, remote)).text, 'no\n');
    const warned = await connectTo(server, { key, args: ['-t'] }, remote);
    assert.equal(warned.text, 'no\n');
    assert.match(warned.stderr, /stdin is no terminal/);
  });

  test('-A gives the agent to the command, and nothing without it', async () => {
    await using agent = await SshAgent.start();
    await agent.add(key.file);
    const environment = agent.environment;
    const listed = await connectTo(server, { key, args: ['-A'], environment }, 'ssh-add -L');
    assert.equal(listed.text.split(' ')[1], key.line.split(' ')[1]);
    const none = await connectTo(server, { key, environment }, 'echo "[$SSH_AUTH_SOCK]"');
    assert.equal(none.text, '[]\n');
  });

  test('every failure of ours is 255 and nothing waits', async () => {
    const stranger = makeKey('ed25519');
    assert.equal((await connectTo(server, { key: stranger }, 'true')).status, 255);
    const nobody = await connectTo({ ...server, port: 1 }, { key }, 'true');
    assert.equal(nobody.status, 255);
    const wrong = await connectTo(server, { key, args: ['-L', 'nonsense'] }, 'true');
    assert.equal(wrong.status, 255);
    assert.match(wrong.stderr, /LocalForward/);
  });

  test('SIGTERM and SIGINT end it, and the command there', async () => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      const remote = 'echo $$; exec sleep 300';
      await using child = spawnConnect(server, { key }, remote);
      const pid = await eventually('the command', () => /^\d+$/m.exec(child.stdout)?.[0]);
      child.process.kill(signal);
      const { code, stderr } = await child.finished;
      assert.equal(code, 255);
      assert.match(stderr, new RegExp(`Ended by ${signal}`));
      assert.ok(Number(pid) > 0);
    }
  });

  test('a connection that goes silent is given up in bounded time, one that is cut at once', async () => {
    const through = new Set<Socket>();
    let isSilent = false;
    const proxy = createServer((here) => {
      const there = connect(server.port, '127.0.0.1');
      for (const socket of [here, there]) {
        through.add(socket);
        socket.on('error', () => {});
      }
      here.on('data', (chunk: Buffer) => !isSilent && there.write(chunk));
      there.on('data', (chunk: Buffer) => !isSilent && here.write(chunk));
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const { port } = proxy.address() as { port: number };
    const alive = ['-o', 'ServerAliveInterval=1', '-o', 'ServerAliveCountMax=1'];
    const args = [...alive, '-o', 'HostKeyAlias=desk', '-o', 'StrictHostKeyChecking=no'];
    const start = async () => {
      const child = spawnConnect({ ...server, port }, { key, args }, 'echo up; sleep 300');
      await eventually('the command', () => child.stdout.includes('up'));
      return child;
    };
    try {
      await using cut = await start();
      for (const socket of through) socket.destroy();
      const { code, stderr } = await cut.finished;
      assert.equal(code, 255);
      assert.match(stderr, /server closed the connection/);
      await using silent = await start();
      isSilent = true;
      const end = await silent.finished;
      assert.equal(end.code, 255);
      assert.match(end.stderr, /no answer from the server for 2 seconds/);
    } finally {
      for (const socket of through) socket.destroy();
      proxy.close();
    }
  });
});
