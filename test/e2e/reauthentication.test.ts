/**
 * DesktopReauth resume: PAM asks again before a desktop that is there is opened, by every way that
 * leads to one. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  finishRfb,
  forwardPort,
  greetRfb,
  type ListedDesktop,
  listDesktops,
  openSubsystem,
  startDesktopServer,
} from '../support/desktop-session.ts';
import { eventually, run as runProgram } from '../support/child.ts';
import {
  checkout,
  inLab,
  type LabUser,
  makeKey,
  makeUser,
  type TestKey,
  writePamService,
} from '../support/lab.ts';
import { DialogueClient, localSubsystem, type Turn } from '../support/reauthentication.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { outcomeOf, ssh } from '../support/stock-client.ts';
import { openTerminal } from '../support/terminal.ts';

const lab = inLab(import.meta.url, 170_000);
const counts = '/tmp/counts-reauth';
const serverOptions = {
  config: ['KbdInteractiveAuthentication yes', 'MaxAuthTries 3', 'PerSourcePenalties no'],
  desktops: ['DesktopReauth resume', 'Match User bob', 'DesktopReauth never'],
};
const size = { rows: 24, columns: 80 };

describe('DesktopReauth resume', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let alice: LabUser;
  const asAlice = () => ({ user: 'alice', key });

  before(async () => {
    key = makeKey('ed25519');
    alice = makeUser('alice', { authorizedKeys: [key.line] });
    makeUser('bob', { authorizedKeys: [key.line] });
    writePamService('sshd', [
      `auth required @lab ask=three count=${counts}`,
      `account required @lab count=${counts}`,
      'session required pam_permit.so',
    ]);
    server = await startDesktopServer('exec xterm', serverOptions);
  });
  after(async () => await server?.stop());

  const calls = (phase: string): readonly string[] =>
    existsSync(counts)
      ? readFileSync(counts, 'utf8')
          .split('\n')
          .filter((line) => line.startsWith(`${phase} `))
      : [];
  function desktopOf(owner: string): ListedDesktop {
    const found = listDesktops().find((desktop) => desktop.owner === owner);
    assert.ok(found !== undefined, `no desktop of ${owner}`);
    return found;
  }
  const right = ['secret', '123456'];
  const connectArguments = (...more: readonly string[]): readonly string[] => [
    ...['--no-warnings', join(checkout, 'test/support/connect-cli.ts'), 'connect', '-F', 'none'],
    ...['-i', key.file, '-o', `UserKnownHostsFile=${server.knownHosts}`, '-p', String(server.port)],
    ...more,
    'alice@127.0.0.1',
  ];

  test('the start of one is not asked about', async () => {
    const talk = openSubsystem(server, 'rfb', asAlice());
    await greetRfb(talk);
    talk.child.stdin.end();
    assert.equal(await talk.status, 0, talk.stderr());
    assert.deepEqual(calls('auth'), []);
  });

  test('rfb, which cannot ask, is refused and says which command asks', async () => {
    const before = calls('auth').length;
    const { status, stdout, stderr } = await ssh(server, { ...asAlice(), args: ['-s'] }, 'rfb');
    assert.equal(status, 77);
    assert.equal(stdout.length, 0, 'no byte of RFB');
    assert.match(stderr, /^This desktop is resumed only after .*`sshdesk connect` asks/);
    const port = 5999;
    const forward = forwardPort(server, { ...asAlice(), args: ['-o', 'LogLevel=INFO'] }, port);
    let said = '';
    forward.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const reached = await eventually('the port', async () => {
      const { stdout: bytes, code } = await runProgram('bash', [
        '-c',
        `exec 3<>/dev/tcp/127.0.0.1/${port} && cat <&3 | head -c 12`,
      ]);
      return code === 0 ? { bytes } : undefined;
    });
    assert.equal(reached.bytes, '');
    forward.kill();
    await eventually('the reason', () =>
      /open failed: connect failed: This desktop is resumed only after/.test(said),
    );
    assert.equal(calls('auth').length, before, 'PAM was not asked');
  });

  test('the dialogue asks as PAM does, and opens it', async () => {
    const { id } = desktopOf('alice');
    const before = calls('auth').length;
    using client = await DialogueClient.open(server, asAlice());
    const [first, second, last] = await client.restore(id, right);
    const question = (text: string, told: string, isShown: boolean): Turn => ({
      ...{ is: 'question', told: Buffer.from(told), text: Buffer.from(text), isShown },
    });
    assert.deepEqual(first, question('Password: ', 'Two things are asked\n', false));
    assert.deepEqual(second, question('One-time code: ', '', true));
    assert.ok(last?.is === 'reply');
    assert.match(
      last.text,
      /^\nNX> 700 Session id: [^\n]*\n.*\nNX> 710 Session status: running\n$/s,
    );
    const [asked] = calls('auth').slice(before);
    assert.match(asked ?? '', / user=alice rhost=127\.0\.0\.1 tty=ssh rc=0$/);
    await server.logged(
      new RegExp(`Reauthenticated alice from 127\\.0\\.0\\.1 port \\d+ ssh2: desktop ${id}$`, 'm'),
    );
    // The same login, the same minute: not asked again.
    assert.equal((await client.restore(id, [])).at(-1)?.is, 'reply');
    assert.equal(calls('auth').length, before + 1);
    client.child.stdin.write('bye\n');
    await client.talk.incoming.takeTo('NX> 999 Bye.\n');
    const version = (await client.talk.incoming.take(12)).toString();
    await finishRfb(client.talk, version);
  });

  test('a wrong answer opens nothing; MaxAuthTries of them end the connection', async () => {
    const { id } = desktopOf('alice');
    const from = server.log().length;
    using client = await DialogueClient.open(server, asAlice());
    for (const answers of [
      ['secret', '000000'],
      ['', ''],
    ]) {
      const last = (await client.restore(id, answers)).at(-1);
      assert.ok(last?.is === 'reply');
      assert.match(last.text, /^\nNX> 404 ERROR: Authentication failed\.\nNX> 500 /);
    }
    await client.restore(id, ['secret', 'wrong']).catch(() => undefined);
    assert.equal(await client.talk.status, 255);
    assert.match(client.talk.stderr(), /Too many authentication failures/);
    await server.logged(/maximum authentication attempts exceeded for alice from .* ssh2$/m);
    const lines =
      server
        .log()
        .slice(from)
        .match(/^.*Failed reauthentication.*$/gm) ?? [];
    assert.equal(lines.length, 3, lines.join('\n'));
    for (const line of lines) {
      assert.match(line, /for alice from 127\.0\.0\.1 port \d+ ssh2: desktop [0-9A-F]{32}: PAM: /);
    }
    assert.doesNotMatch(server.log().slice(from), /secret|000000|123456/);
  });

  test('who leaves in the middle has failed, and PAM is let go', async () => {
    const { id } = desktopOf('alice');
    const from = server.log().length;
    const client = await DialogueClient.open(server, asAlice());
    assert.equal((await client.restore(id, [])).at(-1)?.is, 'question');
    client[Symbol.dispose]();
    await eventually('the line', () =>
      /Failed reauthentication for alice .*: (?:the connection has ended|PAM: )/.test(
        server.log().slice(from),
      ),
    );
  });

  test('connect asks on the terminal, for the default desktop too', async () => {
    const picture = '/tmp/reauth.png';
    const terminal = openTerminal(
      process.execPath,
      connectArguments('--screenshot', picture),
      size,
    );
    await terminal.shows(/Two things are asked\n\(alice@127\.0\.0\.1\) Password: $/, 20_000);
    terminal.type('wrong\r');
    await terminal.shows(/One-time code: $/);
    terminal.type('123456\r');
    await terminal.shows(/123456\nPermission denied, please try again\.\n[^]*Password: $/);
    terminal.type('secret\r');
    await terminal.shows(/try again[^]*One-time code: $/);
    terminal.type('123456\r');
    assert.equal(await terminal.ended, 0, terminal.shown());
    assert.doesNotMatch(terminal.shown(), /secret|sshdesk connect/);
    assert.ok(existsSync(picture));
  });

  test('connect --batch answers nothing, says what was asked, and exits with 5', async () => {
    const args = connectArguments('--batch', '--screenshot', '/tmp/never.png');
    const { code, stderr } = await runProgram(process.execPath, args);
    assert.equal(code, 5, stderr);
    assert.match(
      stderr,
      /asks again who you are before it resumes the desktop \("Password:"\), and in batch mode nobody answers/,
    );
  });

  test('a process of the user on this machine cannot be asked: it is refused', async () => {
    const before = calls('auth').length;
    const launcher = `${checkout}/sshdesk`;
    const rfb = await outcomeOf(localSubsystem(launcher, 'rfb', alice));
    assert.equal(rfb.status, 1);
    assert.equal(rfb.stdout.length, 0);
    assert.match(rfb.stderr, /nothing can ask you here: `sshdesk connect`/);
    const { id } = desktopOf('alice');
    const input = `restoresession --id="${id}"\nquit\n`;
    const display = await outcomeOf(localSubsystem(launcher, 'display', alice), { input });
    assert.match(display.text, /NX> 596 Error: This desktop is resumed only after/);
    assert.doesNotMatch(display.text, /NX> 710/);
    assert.equal(calls('auth').length, before);
  });

  test('a daemon that asks another one for the desktops asks its logins itself', async () => {
    const file = '/tmp/second-desktop-config';
    writeFileSync(file, 'DesktopReauth resume\n');
    const flags = ['--desktop-config', file];
    const { id } = desktopOf('alice');
    {
      await using second = await startServer({
        config: ['UsePAM yes', 'PerSourcePenalties authfail:1h', 'LogLevel VERBOSE'],
        flags,
      });
      const { status } = await ssh(second, { ...asAlice(), args: ['-s'] }, 'rfb');
      assert.equal(status, 77);
      using client = await DialogueClient.open(second, asAlice());
      const last = (await client.restore(id, right)).at(-1);
      assert.ok(last?.is === 'reply');
      assert.match(last.text, /^NX> 710 /m);
      assert.doesNotMatch(second.log(), /srclimit_penalise/);
      {
        using guessing = await DialogueClient.open(second, asAlice());
        await guessing.restore(id, ['secret', 'wrong']);
      }
      await second.logged(
        /srclimit_penalise: ipv4: new 127\.0\.0\.1\/32 .* for penalty: failed authentication/,
      );
    }
    await using without = await startServer({ config: ['UsePAM no'], flags });
    const { status, stdout, stderr } = await ssh(without, { ...asAlice(), args: ['-s'] }, 'rfb');
    assert.deepEqual([status, stdout.length], [1, 0]);
    await without.logged(/desktop [0-9A-F]{32} is not resumed: DesktopReauth, and no PAM to ask/);
    assert.match(
      stderr,
      /^This desktop is resumed only .* this server has no PAM to ask you with\.$/m,
    );
  });

  test('without a daemon nothing can ask either: one is started, and not resumed', async () => {
    const carol = makeUser('carol');
    await server.stop();
    mkdirSync('/etc/sshdesk', { recursive: true });
    writeFileSync('/etc/sshdesk/sshdesk_config', 'XSession exec xterm\nDesktopReauth resume\n');
    const launcher = `${checkout}/sshdesk`;
    const start = await outcomeOf(localSubsystem(launcher, 'rfb', carol));
    assert.equal(start.status, 0, start.stderr);
    const resume = await outcomeOf(localSubsystem(launcher, 'rfb', carol));
    assert.deepEqual([resume.status, resume.stdout.length], [1, 0]);
    assert.match(resume.stderr, /nothing can ask you here/);
    server = await startDesktopServer('exec xterm', serverOptions);
  });

  test('Match: whose desktops are not asked about opens them as ever', async () => {
    for (const _ of ['start', 'resume']) {
      const talk = openSubsystem(server, 'rfb', { user: 'bob', key });
      await greetRfb(talk);
      talk.child.stdin.end();
      assert.equal(await talk.status, 0, talk.stderr());
    }
  });
});
