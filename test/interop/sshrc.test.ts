/** ~/.ssh/rc, /etc/ssh/sshrc and what they are given (sshd(8), SSHRC). In the lab. */
import assert from 'node:assert/strict';
import { chownSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, beforeEach, describe, test } from 'node:test';
import ssh2, { type ClientChannel } from 'ssh2';
import { inLab, makeKey, makeUser, type LabUser, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { type ClientOptions, ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 120_000);
const systemRc = '/etc/ssh/sshrc';

describe('rc files', lab, () => {
  let server: TestServer;
  let alice: LabUser;
  let key: TestKey;
  let other: TestKey;
  let forced: TestKey;
  let options: ClientOptions;
  before(async () => {
    key = makeKey('ed25519');
    other = makeKey('ecdsa');
    forced = makeKey('ed25519');
    alice = makeUser('alice', {
      authorizedKeys: [
        key.line,
        `no-user-rc ${other.line}`,
        `command="echo forced" ${forced.line}`,
      ],
    });
    options = { key };
    server = await startServer({
      config: ['UsePAM yes', 'X11Forwarding yes', 'Subsystem say /bin/echo subsystem'],
    });
  });
  after(() => server?.stop());
  beforeEach(() => {
    rmSync(systemRc, { force: true });
    rmSync(`${alice.home}/.ssh/rc`, { force: true });
  });

  const userRc = (text: string): void => {
    const file = `${alice.home}/.ssh/rc`;
    writeFileSync(file, text, { mode: 0o600 });
    chownSync(file, alice.uid, alice.gid);
  };

  test('the user’s runs in the home, in the environment of the session, and ends before it begins', async () => {
    userRc('echo "rc $0 $(pwd) $USER"; echo to-stderr >&2; sleep 0.2; echo done');
    const { status, text, stderr } = await ssh(server, options, 'echo program');
    assert.equal(status, 0);
    assert.equal(text, 'rc /home/alice/.ssh/rc /home/alice alice\ndone\nprogram\n');
    assert.match(stderr, /to-stderr/);
  });

  test('the system’s runs where the user has none', async () => {
    writeFileSync(systemRc, 'echo system $0\n');
    assert.equal(
      (await ssh(server, options, 'echo program')).text,
      'system /etc/ssh/sshrc\nprogram\n',
    );
    userRc('echo user');
    assert.equal((await ssh(server, options, 'echo program')).text, 'user\nprogram\n');
  });

  test('no-user-rc, PermitUserRC no and ForceCommand: the system’s; a command of the key: the user’s', async () => {
    writeFileSync(systemRc, 'echo system\n');
    userRc('echo user');
    assert.equal((await ssh(server, { key: other }, 'echo x')).text, 'system\nx\n');
    assert.equal((await ssh(server, { key: forced }, 'echo x')).text, 'user\nforced\n');
    for (const [line, said] of [
      ['PermitUserRC no', 'system\nx\n'],
      ['ForceCommand echo forced', 'system\nforced\n'],
    ] as const) {
      await using one = await startServer({ config: ['UsePAM yes', line] });
      assert.equal((await ssh(one, options, 'echo x')).text, said, line);
    }
  });

  test('a subsystem has the system’s, never the user’s', async () => {
    writeFileSync(systemRc, 'echo system\n');
    userRc('echo user');
    const { text } = await ssh(server, { key, args: ['-s'] }, 'say');
    assert.equal(text, 'system\nsubsystem\n');
  });

  test('on a terminal too, and one that fails or writes much changes nothing', async () => {
    userRc('tty; seq 100000; exit 7');
    const { status, text } = await ssh(server, { key, args: ['-tt'] }, 'echo program');
    assert.equal(status, 0);
    assert.match(text, /100000\r\nprogram\r\n$/);
    userRc('seq 200000; kill -9 $$');
    const piped = await ssh(server, options, 'echo program');
    assert.deepEqual([piped.status, piped.text.endsWith('\n200000\nprogram\n')], [0, true]);
  });

  test('what the session reads is left to it', async () => {
    userRc('cat; echo read');
    const { text } = await ssh(server, { key, input: 'for the program\n' }, 'cat');
    assert.equal(text, 'read\nfor the program\n');
  });

  test('with X11 they get protocol and cookie on stdin, and xauth is theirs to run', async () => {
    userRc(
      'cat >/tmp/given; echo "$DISPLAY" >>/tmp/given; tr "\\0" " " </proc/$$/cmdline >>/tmp/given',
    );
    const cookie = '5a'.repeat(16);
    const client = new ssh2.Client();
    await new Promise<void>((resolve, reject) => {
      client.once('ready', resolve).once('error', reject);
      client.connect({
        host: '127.0.0.1',
        port: server.port,
        username: 'alice',
        privateKey: readFileSync(key.file),
      });
    });
    const channel = await new Promise<ClientChannel>((resolve, reject) =>
      client.exec(
        'xauth list; cat /proc/$PPID/cmdline | tr "\\0" " "',
        { x11: { single: false, cookie, protocol: 'MIT-MAGIC-COOKIE-1' } },
        (error, opened) => (error ? reject(error) : resolve(opened)),
      ),
    );
    let text = '';
    channel.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    await new Promise((resolve) => channel.once('close', resolve));
    client.end();
    const given = readFileSync('/tmp/given', 'utf8').split('\n');
    assert.equal(given[0], `MIT-MAGIC-COOKIE-1 ${cookie}`);
    assert.match(given[1] ?? '', /^localhost:\d+\.0$/);
    assert.ok(!given.slice(2).join().includes(cookie), 'never in an argument');
    assert.ok(!text.includes(cookie), 'xauth was not run for it');
  });
});
