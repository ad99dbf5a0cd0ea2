/**
 * Programs that start ssh, with `sshdesk connect` in its place: rsync, git, sftp, scp; and a terminal
 * in one. Against Debian's sshd too (SSHDESK_TEST_SERVER=sshd). Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { output } from '../support/child.ts';
import { connectArguments, connectScript } from '../support/connect-client.ts';
import { inLab, makeKey, makeUser, run, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { openTerminal } from '../support/terminal.ts';

const lab = inLab(import.meta.url);
const env = { PATH: `${path.dirname(process.execPath)}:/usr/bin:/bin`, HOME: '/root', LC_ALL: 'C' };

describe('connect in the place of ssh', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let folder: string;
  let home: string;
  let script: string;
  before(async () => {
    folder = mkdtempSync('/tmp/tools-');
    chmodSync(folder, 0o755);
    key = makeKey('ed25519');
    ({ home } = makeUser('alice', { authorizedKeys: [key.line] }));
    const sftp = 'Subsystem sftp /usr/lib/openssh/sftp-server';
    server = await startServer({ config: ['UsePAM yes', sftp] });
    script = connectScript(path.join(folder, 'connect'), server, { key });
  });
  after(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test('rsync -e, both ways, with and without --', async () => {
    const here = path.join(folder, 'tree');
    mkdirSync(path.join(here, 'deep'), { recursive: true });
    writeFileSync(path.join(here, 'deep/data'), randomBytes(3_000_000));
    writeFileSync(path.join(here, 'a b'), 'blank');
    for (const [shell, host] of [
      [script, 'alice@127.0.0.1'],
      [`${script} --`, '127.0.0.1'],
    ] as const) {
      await output('rsync', ['-a', '-e', shell, `${here}/`, `${host}:copy/`], { env });
      const back = mkdtempSync(path.join(folder, 'back-'));
      await output('rsync', ['-a', '-e', shell, `${host}:copy/`, back], { env });
      await output('diff', ['-r', here, back]);
    }
    // rsync puts the user in front.
    await output('rsync', ['-e', script, `${here}/a b`, 'alice@127.0.0.1:'], { env });
    assert.equal(readFileSync(path.join(home, 'a b'), 'utf8'), 'blank');
  });

  test('git with GIT_SSH_COMMAND: clone and push, by itself and as ssh', async () => {
    const git = (...args: readonly string[]): Promise<string> =>
      output(
        'git',
        ['-c', 'user.name=A', '-c', 'user.email=a@example', '-c', 'protocol.version=2', ...args],
        { env: { ...env, GIT_SSH_COMMAND: script, ...variant } },
      );
    run('su', ['alice', '-c', 'git init -q --bare ~/project.git']);
    let variant: Record<string, string> = {};
    for (const [count, url, chosen] of [
      [1, 'alice@127.0.0.1:project.git', undefined],
      [2, `ssh://alice@127.0.0.1:${server.port}${home}/project.git`, 'ssh'],
    ] as const) {
      variant = chosen === undefined ? {} : { GIT_SSH_VARIANT: chosen };
      const clone = path.join(folder, `clone-${count}`);
      await git('clone', '-q', url, clone);
      writeFileSync(path.join(clone, `file-${count}`), randomBytes(200_000));
      await git('-C', clone, 'add', '.');
      await git('-C', clone, 'commit', '-qm', `number ${count}`);
      await git('-C', clone, 'push', '-q', 'origin', `HEAD:refs/heads/n${count}`);
      const log = await git('-C', clone, 'ls-remote', 'origin', `refs/heads/n${count}`);
      assert.match(log, /^[0-9a-f]{40}\trefs\/heads\/n\d$/m);
    }
  });

  test('sftp -S and scp -S', async () => {
    const data = path.join(folder, 'data');
    writeFileSync(data, randomBytes(1_000_000));
    const batch = path.join(folder, 'batch');
    writeFileSync(batch, `put ${data} uploaded\nget uploaded ${data}.sftp\n`);
    await output('sftp', ['-q', '-S', script, '-b', batch, 'alice@127.0.0.1'], { env });
    assert.ok(readFileSync(`${data}.sftp`).equals(readFileSync(data)));
    await output('scp', ['-q', '-S', script, 'alice@127.0.0.1:uploaded', `${data}.scp`], { env });
    assert.ok(readFileSync(`${data}.scp`).equals(readFileSync(data)));
    await output('scp', ['-O', '-S', script, data, 'alice@127.0.0.1:old'], { env });
    assert.ok(readFileSync(path.join(home, 'old')).equals(readFileSync(data)));
  });

  test('a terminal: its size, raw bytes, and the modes as they were', async () => {
    const shell = connectArguments(server, { key, args: ['--shell'] });
    const words = [process.execPath, ...shell].map((word) => `'${word}'`).join(' ');
    const around = `stty -g > ${folder}/before; ${words}; echo "status $?"; stty -g > ${folder}/after`;
    const terminal = openTerminal('sh', ['-c', around], { rows: 33, columns: 101 });
    await terminal.shows(/\$ $/);
    terminal.type('stty size; tty\n');
    await terminal.shows(/^33 101$/m);
    await terminal.shows(/^\/dev\/pts\/\d+$/m);
    terminal.type('trap "stty size" WINCH; echo trapped\n');
    await terminal.shows(/^trapped$/m);
    terminal.resize({ rows: 40, columns: 120 });
    await terminal.shows(/40 120$/m);
    // ^C goes to the program there.
    terminal.type('echo wait; cat\n');
    await terminal.shows(/^wait$/m);
    terminal.type('\x03');
    await terminal.shows(/\^C\n.*\$ $/);
    terminal.type('echo "status was $?"\n');
    await terminal.shows(/^status was 130$/m);
    terminal.type('exit 5\n');
    await terminal.shows(/^status 5$/m);
    await terminal.ended;
    assert.equal(readFileSync(`${folder}/after`, 'utf8'), readFileSync(`${folder}/before`, 'utf8'));
  });

  test('~. leaves a terminal that hangs, and gives it back', async () => {
    const shell = connectArguments(server, { key, args: ['-t'] }, 'echo up; exec sleep 300');
    const words = [process.execPath, ...shell].map((word) => `'${word}'`).join(' ');
    const around = `stty -g > ${folder}/b; ${words}; echo "status $?"; stty -g > ${folder}/a`;
    const terminal = openTerminal('sh', ['-c', around], { rows: 24, columns: 80 });
    await terminal.shows(/up$/m);
    terminal.type('~.');
    await terminal.shows(/^status 255$/m);
    await terminal.ended;
    assert.equal(readFileSync(`${folder}/a`, 'utf8'), readFileSync(`${folder}/b`, 'utf8'));
  });
});
