/** What a session starts with is what it starts with at Debian's sshd. Runs in: test, in the lab. */
import assert from 'node:assert/strict';
import { appendFileSync, chownSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { inLab, makeKey, makeUser, type LabUser, run, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { type ClientOptions, ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);

describe('a session starts as at sshd', lab, () => {
  let key: TestKey;
  let alice: LabUser;
  const servers: Record<string, readonly [TestServer, TestServer]> = {};
  const configs: Readonly<Record<string, readonly string[]>> = {
    'with PAM': ['UsePAM yes', 'AcceptEnv LANG LC_*', 'PermitUserEnvironment yes'],
    'without PAM': ['UsePAM no', 'AcceptEnv LANG LC_*', 'PermitUserEnvironment no'],
  };
  before(async () => {
    key = makeKey('ed25519');
    alice = makeUser('alice', {
      password: 'pw',
      groups: ['users', 'games'],
      authorizedKeys: [`environment="FROM_KEY=a b" ${key.line}`],
    });
    makeUser('zed', { shell: '/bin/sh', authorizedKeys: [key.line] });
    makeUser('gone', { authorizedKeys: [] });
    writeFileSync('/home/alice/.ssh/environment', 'FROM_FILE=1\nLANG=C\n');
    chownSync('/home/alice/.ssh/environment', alice.uid, alice.gid);
    for (const [name, config] of Object.entries(configs)) {
      servers[name] = [await startServer({ config }), await startServer({ config, kind: 'sshd' })];
    }
  });
  after(async () => {
    for (const pair of Object.values(servers)) {
      await Promise.all(pair.map((server) => server.stop()));
    }
  });

  /** Ports and ids differ between two logins. */
  const plain = (text: string, server: TestServer): string =>
    text
      .replaceAll(new RegExp(`\\b${server.port}\\b`, 'g'), 'PORT')
      .replaceAll(/127\.0\.0\.1 \d{4,5}\b/g, '127.0.0.1 CLIENT')
      .replaceAll(/\/dev\/pts\/\d+/g, '/dev/pts/N')
      .replaceAll(/(Last login:).*/g, '$1');

  const same = async (which: string, options: ClientOptions, ...command: readonly string[]) => {
    const outcomes = [];
    for (const server of servers[which] as readonly [TestServer, TestServer]) {
      const outcome = await ssh(server, { key, ...options }, ...command);
      outcomes.push({
        status: outcome.status,
        text: plain(outcome.text, server),
        stderr: plain(outcome.stderr, server),
      });
    }
    assert.deepEqual(outcomes[0], outcomes[1]);
    return outcomes[0] as { status: number | null; text: string; stderr: string };
  };

  for (const which of Object.keys(configs)) {
    test(`environment of a command ${which}`, async () => {
      const { text } = await same(
        which,
        { environment: { LANG: 'de_DE.UTF-8', LC_TIME: 'C' }, args: ['-o', 'SendEnv=LANG LC_*'] },
        'env | sort',
      );
      assert.match(text, /^SSH_CONNECTION=127\.0\.0\.1 CLIENT 127\.0\.0\.1 PORT$/m);
      assert.match(text, /^USER=alice$/m);
    });
    test(`environment of a terminal ${which}`, async () => {
      const { text } = await same(which, { args: ['-tt'] }, 'env | sort');
      assert.match(text, /^TERM=xterm\r?$/m);
    });
    test(`environment of a login shell ${which}`, async () => {
      const { text } = await same(which, { args: ['-T'], input: 'env | sort\n' });
      assert.match(text, /^HOME=\/home\/alice$/m);
    });
    test(`root's PATH ${which}`, async () => {
      run('mkdir', ['-p', '/root/.ssh']);
      writeFileSync('/root/.ssh/authorized_keys', `${key.line}\n`, { mode: 0o600 });
      const { text } = await same(which, { user: 'root' }, 'echo $PATH; id; umask; pwd');
      assert.match(text, /sbin/);
    });
    test(`ids, groups, limits, signals, umask, priority ${which}`, async () => {
      await same(
        which,
        {},
        'id; groups; umask; nice; cat /proc/self/oom_score_adj; ulimit -a; ' +
          'grep -E "^(Sig(Blk|Ign)|Cap|NoNewPrivs|Seccomp:|Uid|Gid|Groups)" /proc/self/status',
      );
    });
    test(`what a command is: argv0, its own session ${which}`, async () => {
      const { text } = await same(
        which,
        {},
        'echo "$0"; tr "\\0" " " < /proc/$$/cmdline | head -c 7; echo; ' +
          'ps -o sid= -p $$ | tr -d " " | sed "s/^$$\\$/own session/"',
      );
      assert.match(text, /own session/);
    });
  }

  test('nothing of the server is open in a command', async () => {
    for (const which of Object.keys(configs)) {
      const server = servers[which]?.[0] as TestServer;
      const outcome = await ssh(server, { key }, 'for f in /proc/$$/fd/*; do readlink $f; done');
      // sshd 9.2 leaves one of its own to bash.
      if (server.kind === 'sshdesk') {
        assert.match(outcome.text, /^(pipe:\[\d+\]\n){3}$/);
      }
    }
  });

  test('/bin/sh as the shell: argv0 of exec and of a login', async () => {
    const exec = await same('with PAM', { user: 'zed' }, 'echo "$0"');
    assert.equal(exec.text, 'sh\n');
    const login = await same('with PAM', { user: 'zed', args: ['-T'], input: 'echo "$0"\n' });
    assert.equal(login.text, '-sh\n');
  });

  test('a home that is not there: the text of sshd, and / as the place', async () => {
    const gone = run('getent', ['passwd', 'gone']).split(':');
    for (const server of servers['with PAM'] ?? []) {
      appendFileSync(server.configFile, '');
    }
    // The keys must be found although the home is not: a file of its own.
    writeFileSync('/etc/ssh/keys-gone', `${key.line}\n`);
    rmSync('/home/gone', { recursive: true });
    const config = ['UsePAM yes', 'AuthorizedKeysFile /etc/ssh/keys-%u'];
    const pair = [await startServer({ config }), await startServer({ config, kind: 'sshd' })];
    const outcomes = await Promise.all(
      pair.map(async (server) => await ssh(server, { key, user: 'gone' }, 'pwd')),
    );
    await Promise.all(pair.map((server) => server.stop()));
    assert.deepEqual(
      outcomes.map(({ status, text, stderr }) => ({ status, text, stderr })),
      Array.from({ length: 2 }, () => ({
        status: 0,
        text: '/\n',
        stderr: `Could not chdir to home directory ${gone[5]}: No such file or directory\n`,
      })),
    );
  });
});
