/**
 * SIGHUP: what is read again holds for new connections, whoever is in goes on with what he had, and
 * nobody is refused meanwhile. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { Child, eventually } from '../support/child.ts';
import { Ground } from '../support/daemon.ts';
import { checkout, inLab, makeKey, makeUser, run, type TestKey } from '../support/lab.ts';
import { allProcesses, freePort, type ProcessEntry, processTree } from '../support/server.ts';
import { ssh, sshArguments } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 240_000);
const launcher = path.join(checkout, 'sshdesk');
const clientEnvironment = { env: { PATH: '/usr/bin:/bin', HOME: '/root' } };
let key: TestKey;

const done = 'New connections follow the configuration as it was read again.';
const undone = 'The configuration was not changed: what held before still holds.';

function count(text: string, line: string): number {
  return text.split(line).length - 1;
}

/** Sends SIGHUP and waits until it is followed, or refused. */
async function reload(daemon: Child, last = done): Promise<void> {
  const before = count(daemon.stderr, last);
  daemon.process.kill('SIGHUP');
  await eventually('the configuration is read again', () => {
    assert.ok(!daemon.hasExited, daemon.stderr);
    return count(daemon.stderr, last) > before;
  }).catch((error: unknown) => {
    throw new Error(daemon.stderr, { cause: error });
  });
}

/** A login that echoes until its input ends. */
async function stay(ground: Ground, more: readonly string[] = []): Promise<Child> {
  const child = new Child(
    'ssh',
    sshArguments(ground, { key, args: [...more] }, 'echo in; cat'),
    clientEnvironment,
  );
  await eventually('the login', () => child.stdout.includes('in\n'));
  return child;
}

async function leave(client: Child): Promise<void> {
  client.process.stdin?.end();
  assert.equal((await client.finished).code, 0, client.stderr);
}

const workersOf = (daemon: Child): readonly ProcessEntry[] =>
  processTree(daemon.pid).filter(({ title }) => /^sshdesk: worker \d/.test(title));

/** What a connection gets first, or why it gets nothing. */
async function greeting(port: number, host = '127.0.0.1'): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    let text = '';
    const timer = setTimeout(() => socket.destroy(new Error('nothing came')), 15_000);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (text.includes('\n')) {
        socket.destroy();
      }
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      text = error.code ?? error.message;
    });
    socket.once('close', () => {
      clearTimeout(timer);
      resolve(text);
    });
  });
}

describe('SIGHUP', lab, () => {
  before(() => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    makeUser('bob', { authorizedKeys: [key.line] });
  });

  test('policy: AllowUsers, Banner, ForceCommand hold for new connections, not for old ones', async () => {
    await using ground = await Ground.make();
    const daemon = await ground.daemon();
    const socket = ground.file('mux');
    const master = await stay(ground, ['-M', '-S', socket]);
    const workers = workersOf(daemon).map(({ pid }) => pid);
    writeFileSync(ground.file('banner'), 'authorised use only\n');
    ground.configure([
      'AllowUsers bob',
      `Banner ${ground.file('banner')}`,
      'ForceCommand echo forced',
      'MaxSessions 1',
    ]);
    await reload(daemon);
    assert.match(daemon.stderr, /Received SIGHUP; restarting\./);
    const refused = await ssh(ground, { key }, 'true');
    assert.deepEqual([refused.status, refused.text], [255, ''], refused.stderr);
    assert.match(
      daemon.stderr,
      /User alice from 127\.0\.0\.1 not allowed because not listed in AllowUsers/,
    );
    const bob = await ssh(ground, { key, user: 'bob', args: ['-o', 'LogLevel=INFO'] }, 'id');
    assert.equal(bob.text, 'forced\n');
    assert.match(bob.stderr, /authorised use only/);
    const more = await ssh(ground, { key, args: ['-S', socket] }, 'echo as before');
    assert.equal(more.text, 'as before\n', 'who is in goes on with what held');
    assert.deepEqual(
      workersOf(daemon).map(({ pid }) => pid),
      workers,
      'workers that would be told the same stay',
    );
    await leave(master);
    ground.configure([]);
    await reload(daemon);
    assert.equal((await ssh(ground, { key }, 'echo again')).text, 'again\n');
  });

  test('host keys, algorithms, VersionAddendum: new workers; old connections rekey with the old key', async () => {
    await using ground = await Ground.make();
    const daemon = await ground.daemon();
    const old = await stay(ground, ['-o', 'RekeyLimit=64K']);
    const before = workersOf(daemon).map(({ pid }) => pid);
    const other = ground.file('other_key');
    run('ssh-keygen', ['-q', '-t', 'rsa', '-N', '', '-C', '', '-f', other]);
    ground.configure(
      [
        `Port ${ground.port}`,
        'ListenAddress 127.0.0.1',
        `HostKey ${other}`,
        'Ciphers aes256-ctr',
        'VersionAddendum second',
      ],
      { bare: true },
    );
    await reload(daemon);
    assert.match(await greeting(ground.port), /^SSH-2\.0-sshdesk_\S+ second\r\n$/);
    const strange = await ssh(ground, { key }, 'true');
    assert.equal(strange.status, 255, 'another key than known');
    ground.knows(ground.port, other);
    const fresh = await ssh(ground, { key, args: ['-v', '-o', 'LogLevel=DEBUG1'] }, 'echo new');
    assert.equal(fresh.text, 'new\n', fresh.stderr);
    assert.match(fresh.stderr, /Server host key: ssh-rsa/);
    assert.match(fresh.stderr, /server->client cipher: aes256-ctr/);
    // Several key exchanges of the old connection, each signed with the key that it began with.
    const line = `${'x'.repeat(1023)}\n`;
    old.process.stdin?.write(line.repeat(300));
    await eventually('all of it comes back', () => old.stdout.length >= 3 + 300 * 1024);
    await leave(old);
    await eventually('the old workers end', () => {
      const now = workersOf(daemon).map(({ pid }) => pid);
      return now.length > 0 && before.every((pid) => !now.includes(pid));
    });
    assert.doesNotMatch(daemon.stderr, /refused|ended: /);
  });

  test('a broken file: every mistake with its line, and everything goes on as it was', async () => {
    await using ground = await Ground.make();
    const daemon = await ground.daemon();
    const workers = workersOf(daemon).map(({ pid }) => pid);
    const client = await stay(ground);
    ground.configure(['AllowUsers bob', 'NoSuchKeyword yes', 'MaxAuthTries many']);
    await reload(daemon, undone);
    assert.match(daemon.stderr, new RegExp(`${ground.configFile}:6: .*NoSuchKeyword`, 'i'));
    assert.match(daemon.stderr, new RegExp(`${ground.configFile}:7: .*MaxAuthTries`, 'i'));
    assert.equal((await ssh(ground, { key }, 'echo in')).text, 'in\n', 'AllowUsers has no effect');
    ground.configure(['HostKey /nonexistent/key', 'AllowUsers bob'], { bare: true });
    await reload(daemon, undone);
    assert.match(daemon.stderr, /Unable to load host key: \/nonexistent\/key/);
    ground.configure(['HostKeyAlgorithms rsa-sha2-512']);
    await reload(daemon, undone);
    assert.match(daemon.stderr, /no host key can serve an algorithm/);
    assert.equal((await ssh(ground, { key }, 'echo in')).text, 'in\n');
    assert.deepEqual(
      workersOf(daemon).map(({ pid }) => pid),
      workers,
    );
    await leave(client);
    ground.configure(['AllowUsers bob']);
    await reload(daemon);
    assert.equal((await ssh(ground, { key }, 'true')).status, 255);
  });

  test('ports and addresses come and go; the ones that stay keep their sockets', async () => {
    await using ground = await Ground.make();
    const [second, third] = [await freePort(), await freePort()];
    const daemon = await ground.daemon();
    const inode = (port: number): string =>
      readFileSync('/proc/net/tcp', 'utf8')
        .split('\n')
        .map((line) => line.trim().split(/\s+/))
        .filter(
          ([, local, , state]) =>
            local?.endsWith(port.toString(16).toUpperCase().padStart(4, '0')) === true &&
            state === '0A',
        )
        .map((fields) => fields[9])
        .join();
    const first = inode(ground.port);
    ground.configure([`ListenAddress 127.0.0.1:${second}`]);
    await reload(daemon);
    assert.equal(inode(ground.port), first);
    assert.match(
      daemon.stderr,
      new RegExp(`Server listening on 127\\.0\\.0\\.1 port ${second}\\.`),
    );
    assert.equal(count(daemon.stderr, `port ${ground.port}.`), 1, 'said once, when it was bound');
    ground.knows(second);
    assert.equal(
      (await ssh({ ...ground, port: second, knownHosts: ground.knownHosts }, { key }, 'echo 2'))
        .text,
      '2\n',
    );
    // Everywhere, where it was one address; then the other way round.
    ground.configure([`Port ${third}`, 'ListenAddress 0.0.0.0', `HostKey ${ground.hostKey}`], {
      bare: true,
    });
    await reload(daemon);
    assert.equal(await greeting(ground.port), 'ECONNREFUSED');
    assert.equal(await greeting(second), 'ECONNREFUSED');
    assert.match(await greeting(third, '127.0.0.2'), /^SSH-2\.0-/);
    ground.configure([`Port ${third}`, 'ListenAddress 127.0.0.1', `HostKey ${ground.hostKey}`], {
      bare: true,
    });
    await reload(daemon);
    assert.match(await greeting(third), /^SSH-2\.0-/);
    assert.equal(await greeting(third, '127.0.0.2'), 'ECONNREFUSED');
    // Taken by somebody: the only one, then one of two.
    const taken = await freePort();
    await using holder = new Child('python3', [
      '-c',
      `import socket,time
s=socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", ${taken})); s.listen(); print("held", flush=True); time.sleep(120)`,
    ]);
    await eventually('it is taken', () => holder.stdout.includes('held'));
    ground.configure(
      [`Port ${taken}`, 'ListenAddress 127.0.0.1', `HostKey ${ground.hostKey}`, 'AllowUsers bob'],
      { bare: true },
    );
    await reload(daemon, undone);
    assert.match(
      daemon.stderr,
      new RegExp(`Bind to port ${taken} on 127\\.0\\.0\\.1 failed: .*It is taken by`),
    );
    assert.match(await greeting(third), /^SSH-2\.0-/);
    ground.configure(
      [`Port ${third}`, `Port ${taken}`, 'ListenAddress 127.0.0.1', `HostKey ${ground.hostKey}`],
      { bare: true },
    );
    await reload(daemon);
    assert.match(await greeting(third), /^SSH-2\.0-/);
  });

  test('hundreds of connections during reloads: none is refused, whatever changes', async () => {
    await using ground = await Ground.make({ config: ['MaxStartups 1000'] });
    const daemon = await ground.daemon();
    let isOver = false;
    const answers = new Map<string, number>();
    const dial = async (): Promise<void> => {
      while (!isOver) {
        const text = await greeting(ground.port);
        const kind = text.startsWith('SSH-2.0-sshdesk') ? 'served' : text || 'closed';
        answers.set(kind, (answers.get(kind) ?? 0) + 1);
      }
    };
    const dialling = Array.from({ length: 8 }, dial);
    try {
      for (let round = 0; round < 6; round++) {
        // Every other time the workers are new ones too.
        ground.configure([
          'MaxStartups 1000',
          `MaxAuthTries ${3 + round}`,
          `VersionAddendum round${round >> 1}`,
        ]);
        await reload(daemon);
        const login = await ssh(ground, { key }, `echo ${round}`);
        assert.equal(login.text, `${round}\n`, login.stderr);
      }
      await eventually('enough of them', () => (answers.get('served') ?? 0) >= 300, 60_000);
    } finally {
      isOver = true;
      await Promise.all(dialling);
    }
    assert.deepEqual([...answers.keys()], ['served'], JSON.stringify([...answers]));
  });

  test('many signals at once are followed by the files as they are at the last', async () => {
    await using ground = await Ground.make();
    const daemon = await ground.daemon();
    for (let round = 0; round < 10; round++) {
      ground.configure([`VersionAddendum round${round}`]);
      daemon.process.kill('SIGHUP');
    }
    await eventually('the last', async () => / round9\r\n/.test(await greeting(ground.port)));
    await eventually('the workers of the others end', () => workersOf(daemon).length <= 2);
    assert.equal((await ssh(ground, { key }, 'echo in')).text, 'in\n');
  });

  test('a desktop goes on, and its viewer', async () => {
    await using ground = await Ground.make();
    const daemon = await ground.daemon();
    await using viewer = new Child(
      'ssh',
      sshArguments(ground, { key, args: ['-s'] }, 'rfb'),
      clientEnvironment,
    );
    await eventually('a desktop', () => viewer.stdout.startsWith('RFB 003.008\n'), 20_000);
    const xvnc = allProcesses().find(({ title }) => /^\S*Xvnc/.test(title)) as ProcessEntry;
    const listed = (): { readonly id: string; readonly state: string }[] =>
      JSON.parse(run(launcher, ['sessions', 'list', '--json']));
    const [desktop] = listed();
    try {
      ground.configure(['VersionAddendum other', 'PermitTTY no']);
      await reload(daemon);
      assert.deepEqual(
        listed().map(({ id, state }) => [id, state]),
        [[desktop?.id, 'running']],
      );
      viewer.process.stdin?.write('RFB 003.008\n');
      await eventually('the display answers', () => viewer.stdout.length > 'RFB 003.008\n'.length);
      const refused = await ssh(ground, { key, args: ['-s'], input: '' }, 'rfb');
      assert.notEqual(refused.status, 0, 'PermitTTY no refuses desktops to new connections');
    } finally {
      run(launcher, ['sessions', 'terminate', String(desktop?.id)]);
      await eventually('it ends', () => !allProcesses().some(({ pid }) => pid === xvnc.pid));
    }
  });

  test('the log file is opened again, and PidFile, LogLevel and relative names are followed', async () => {
    await using ground = await Ground.make();
    const log = ground.file('log');
    const daemon = ground.serve('-D', '-E', 'log', '-f', 'sshd_config');
    const read = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '');
    await eventually('it listens', () => read(log).includes('Server listening on'));
    await eventually('the pid file', () => existsSync(ground.pidFile));
    renameSync(log, ground.file('log.1'));
    ground.configure(['LogLevel VERBOSE', `PidFile ${ground.file('other.pid')}`].reverse(), {});
    const text = readFileSync(ground.configFile, 'utf8').replace(/^PidFile .*\/pid\n/m, '');
    writeFileSync(ground.configFile, text);
    daemon.process.kill('SIGHUP');
    await eventually('a new log', () => read(log).includes(done));
    assert.ok(!existsSync(ground.pidFile));
    assert.equal(readFileSync(ground.file('other.pid'), 'utf8'), `${daemon.pid}\n`);
    assert.equal((await ssh(ground, { key }, 'echo in')).text, 'in\n');
    assert.match(read(log), /Connection from 127\.0\.0\.1 port \d+/, 'VERBOSE');
    assert.doesNotMatch(read(ground.file('log.1')), /Connection from/);
    daemon.process.kill('SIGTERM');
    assert.equal((await daemon.finished).code, 0);
    assert.ok(!existsSync(ground.file('other.pid')));
  });

  test('while it drains there is nothing to read again for', async () => {
    await using ground = await Ground.make();
    const daemon = await ground.daemon();
    const client = await stay(ground);
    daemon.process.kill('SIGTERM');
    await eventually('it drains', async () => (await greeting(ground.port)) === 'ECONNREFUSED');
    daemon.process.kill('SIGHUP');
    client.process.stdin?.write('still\n');
    await eventually('the echo', () => client.stdout.endsWith('still\n'));
    assert.doesNotMatch(daemon.stderr, /Received SIGHUP/);
    await leave(client);
    assert.equal((await daemon.finished).code, 0);
  });
});
