/**
 * AuthorizedKeysCommand as sshd_config(5) has it: what it is told, as whom it runs, when it counts.
 * Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import { FactorClient } from '../support/factors.ts';
import { FewServers } from '../support/few-servers.ts';
import { findUser, inLab, makeUser, run } from '../support/lab.ts';
import { makeRawKey, type RawKey } from '../support/raw-ssh.ts';
import { serverKind, startServer, type TestServer } from '../support/server.ts';

const lab = inLab(import.meta.url, 300_000);
const [listed, filed, foreign] = [makeRawKey(), makeRawKey(), makeRawKey()];
const folder = '/etc/commands';
const file = `${folder}/keys`;
const witness = '/home/lookup/witness';
const print = (key: RawKey, options = '') => `echo '${options}${options && ' '}${key.line}'`;

describe('AuthorizedKeysCommand', lab, () => {
  const servers = new FewServers();
  const serverWith = async (...config: readonly string[]): Promise<TestServer> =>
    await servers.with(['LogLevel VERBOSE', 'MaxAuthTries 20', 'AllowUsers alice', ...config]);
  const usual = [`AuthorizedKeysCommand ${file} a%%b %u %U %h %t %f %k "x y"`] as const;
  const asLookup = 'AuthorizedKeysCommandUser lookup';
  const signed = async (server: TestServer, key: RawKey, user = 'alice') => {
    using client = await FactorClient.open(server.port, user);
    return await client.sign(key);
  };
  const script = (text: string): void => {
    writeFileSync(file, `#!/bin/sh\n${text}\n`);
    chmodSync(file, 0o755);
  };

  before(() => {
    makeUser('alice', { authorizedKeys: [filed.line] });
    run('groupadd', ['lookup-more']);
    run('useradd', ['-r', '-m', '-s', '/usr/sbin/nologin', '-G', 'lookup-more', 'lookup']);
    mkdirSync(folder, { mode: 0o755 });
  });
  after(async () => {
    await servers[Symbol.asyncDispose]();
  });
  afterEach(() => rmSync(witness, { force: true }));

  test('a key that it prints logs in; what it is told', async () => {
    script(`printf '%s\\n' "$#" "$@" > ${witness}; ${print(listed)}`);
    const server = await serverWith(...usual, asLookup);
    assert.equal(await signed(server, listed), 'accepted');
    const { uid } = findUser('alice');
    const fingerprint = createHash('sha256')
      .update(listed.blob)
      .digest('base64')
      .replace(/=+$/, '');
    assert.deepEqual(readFileSync(witness, 'utf8').trim().split('\n'), [
      '8',
      'a%b',
      'alice',
      String(uid),
      '/home/alice',
      'ssh-ed25519',
      `SHA256:${fingerprint}`,
      listed.blob.toString('base64'),
      'x y',
    ]);
    await server.logged(
      /Accepted key ED25519 SHA256:\S+ found at \/etc\/commands\/keys a%%b %u %U %h %t %f %k "x y":1/,
    );
  });

  test('INCIDENTS 21: it runs with the ids and all groups of its own user, and no others', async () => {
    script(`id > ${witness}; ${print(listed)}`);
    assert.equal(await signed(await serverWith(...usual, asLookup), listed), 'accepted');
    assert.equal(readFileSync(witness, 'utf8'), run('id', ['lookup']));
  });

  test('its environment is its user’s, whatever the daemon has', async () => {
    script(`env | sort > ${witness}; ${print(listed)}`);
    assert.equal(await signed(await serverWith(...usual, asLookup), listed), 'accepted');
    const names = readFileSync(witness, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split('=', 1)[0])
      .filter((name) => !['LANG', 'PWD', '_', 'SHLVL'].includes(name as string));
    assert.deepEqual(names, ['HOME', 'LOGNAME', 'PATH', 'USER']);
  });

  test('files come first; then it is not run at all', async () => {
    script(`: > ${witness}; ${print(listed)}`);
    const server = await serverWith(...usual, asLookup);
    assert.equal(await signed(server, filed), 'accepted');
    assert.equal(existsSync(witness), false);
    assert.match(await signed(server, foreign), /^refused: publickey/);
    assert.equal(existsSync(witness), true);
  });

  test('options of its lines hold', async () => {
    script(
      `echo '# comment'; echo; ${print(listed, 'command="echo held"')}; ${print(foreign, 'from="192.0.2.1"')}`,
    );
    const server = await serverWith(...usual, asLookup);
    using client = await FactorClient.open(server.port, 'alice');
    assert.match(await client.sign(foreign), /^refused/);
    assert.equal(await client.sign(listed), 'accepted');
    assert.equal(await client.raw.exec('id'), 'held\n');
  });

  test('what it printed does not count when it ends badly', async () => {
    const server = await serverWith(...usual, asLookup);
    for (const [end, line] of [
      ['exit 3', /AuthorizedKeysCommand \/etc\/commands\/keys .* failed, status 3/],
      ['kill -9 $$', /AuthorizedKeysCommand \/etc\/commands\/keys .* exited on signal 9/],
    ] as const) {
      script(`${print(listed)}; ${end}`);
      assert.match(await signed(server, listed), /^refused/, end);
      await server.logged(line);
    }
    script(`${print(foreign)}; yes "" | head -c 300000; ${print(listed)}`);
    assert.equal(await signed(server, listed), 'accepted', 'long, and the key at its end');
  });

  test('without arguments it gets the name; it is not run for unknown and refused users', async () => {
    makeUser('mallory', { authorizedKeys: [filed.line] });
    script(`printf '%s\\n' "$@" >> ${witness}; ${print(listed)}`);
    const server = await serverWith(`AuthorizedKeysCommand ${file}`, asLookup);
    for (const user of ['nobody-such', 'mallory', '$(id)', '../alice', 'alice\nalice']) {
      assert.match(await signed(server, listed, user), /^refused/);
    }
    assert.equal(existsSync(witness), false);
    assert.equal(await signed(server, listed), 'accepted');
    assert.equal(readFileSync(witness, 'utf8'), 'alice\n');
  });

  test('no shell sees its arguments', async () => {
    script(`printf '%s\\n' "$@" > ${witness}; ${print(listed)}`);
    const server = await serverWith(
      `AuthorizedKeysCommand ${file} $(touch /tmp/x) ; * %u 'a  b' # "c\\"d"`,
      asLookup,
    );
    assert.equal(await signed(server, listed), 'accepted');
    assert.deepEqual(readFileSync(witness, 'utf8').trim().split('\n'), [
      ...['$(touch', '/tmp/x)', ';', '*', 'alice', 'a  b', '#', 'c"d'],
    ]);
  });

  test('a program that others can change is not run', async () => {
    script(`: > ${witness}; ${print(listed)}`);
    const server = await serverWith(...usual, asLookup);
    chmodSync(file, 0o777);
    assert.match(await signed(server, listed), /^refused/);
    await server.logged(
      /Unsafe AuthorizedKeysCommand "\/etc\/commands\/keys": bad ownership or modes for file \/etc\/commands\/keys/,
    );
    chmodSync(file, 0o755);
    chmodSync(folder, 0o777);
    assert.match(await signed(server, listed), /^refused/);
    await server.logged(
      /Unsafe AuthorizedKeysCommand "\/etc\/commands\/keys": bad ownership or modes for directory \/etc\/commands/,
    );
    chmodSync(folder, 0o755);
    rmSync(file);
    assert.match(await signed(server, listed), /^refused/);
    await server.logged(
      /Could not stat AuthorizedKeysCommand "\/etc\/commands\/keys": No such file or directory/,
    );
    assert.equal(existsSync(witness), false);
  });

  test('%u as its user: the user who logs in; nobody by that name: refused', async () => {
    script(`id -un > /tmp/as-user; ${print(listed)}`);
    const own = await serverWith(...usual, 'AuthorizedKeysCommandUser %u');
    assert.equal(await signed(own, listed), 'accepted');
    assert.equal(readFileSync('/tmp/as-user', 'utf8'), 'alice\n');
    const none = await serverWith(...usual, 'AuthorizedKeysCommandUser nobody-such');
    assert.match(await signed(none, listed), /^refused/);
    await none.logged(/AuthorizedKeysCommandUser "nobody-such" not found/);
  });

  test('a start without a user, with a relative path or an open quote is refused', async () => {
    for (const [lines, complaint] of [
      [[...usual], /AuthorizedKeysCommand:? set without AuthorizedKeysCommandUser/],
      [
        ['AuthorizedKeysCommand keys', asLookup],
        /AuthorizedKeysCommand:? must be an absolute path/,
      ],
      [[`AuthorizedKeysCommand ${file} "x`, asLookup], /quote/],
      ...(serverKind === 'sshd'
        ? []
        : ([[[`AuthorizedKeysCommand ${file} %q`, asLookup], /unknown token "%q"/]] as const)),
    ] as const) {
      await assert.rejects(startServer({ config: lines }), complaint);
    }
  });

  const ours = { skip: serverKind === 'sshd' ? 'sshd has no bounds' : false };

  test('one that hangs is ended, and its login refused', ours, async () => {
    script(`sleep 600 & echo $! $$ > ${witness}; ${print(listed)}; sleep 500`);
    const server = await serverWith(...usual, asLookup, 'LoginGraceTime 4');
    assert.match(await signed(server, listed), /^refused/);
    await server.logged(/AuthorizedKeysCommand \S+ .*: took too long, killed/);
    for (const pid of readFileSync(witness, 'utf8').trim().split(' ')) {
      assert.equal(existsSync(`/proc/${pid}`), false, pid);
    }
  });

  test('an output without end is cut, what it says on stderr is logged in part', ours, async () => {
    const server = await serverWith(...usual, asLookup);
    script(`${print(listed)}; exec yes`);
    assert.match(await signed(server, listed), /^refused/);
    await server.logged(/AuthorizedKeysCommand \S+ .*: more than 1048576 bytes, killed/);
    script(`printf 'no \\033[31mserver\\nsecond line\\n' >&2; ${print(listed)}`);
    assert.equal(await signed(server, listed), 'accepted');
    await server.logged(
      /AuthorizedKeysCommand: no \\033\[31mserver\n.*AuthorizedKeysCommand: second line/,
    );
  });

  test(
    'who knows a public key and has no other makes it run 16 times and no more',
    ours,
    async () => {
      script(`echo run >> ${witness}; ${print(listed)}`);
      const server = await serverWith(...usual, asLookup);
      const runs = (): number => readFileSync(witness, 'utf8').trim().split('\n').length;
      {
        using client = await FactorClient.open(server.port, 'alice');
        const replies: string[] = [];
        while (replies.length < 40 && !replies.at(-1)?.startsWith('closed')) {
          replies.push(await client.query(listed));
        }
        assert.deepEqual(replies, [
          ...Array.from({ length: 16 }, () => 'acceptable'),
          ...Array.from({ length: 19 }, () => 'refused: publickey,password'),
          'closed 2: Too many authentication failures',
        ]);
        assert.equal(runs(), 16);
      }
      // Whoever signs in the end is let in, however often he has asked.
      using client = await FactorClient.open(server.port, 'alice');
      for (let asked = 0; asked < 18; asked++) {
        await client.query(listed);
      }
      assert.equal(await client.sign(listed), 'accepted');
    },
  );

  test('how long a refusal takes does not tell who has an account', ours, async () => {
    script('sleep 0.13');
    const server = await serverWith(...usual, asLookup);
    const users = ['alice', 'nobody-such', 'mallory'];
    await signed(server, foreign);
    const medians = async (): Promise<readonly number[]> => {
      const samples = new Map<string, number[]>(users.map((user) => [user, []]));
      for (let round = 0; round < 7; round++) {
        for (const user of users) {
          using client = await FactorClient.open(server.port, user);
          await client.none();
          const began = performance.now();
          assert.match(await client.query(foreign), /^refused/);
          samples.get(user)?.push(performance.now() - began);
        }
      }
      return [...samples.values()].map(
        (all) => all.sort((one, other) => one - other)[all.length >> 1] as number,
      );
    };
    // Noise of the machine may spoil one measurement, a difference of the server spoils each.
    const seen: string[] = [];
    for (let tries = 0; tries < 3; tries++) {
      const found = await medians();
      seen.push(found.map((ms) => ms.toFixed(1)).join(', '));
      if (Math.max(...found) - Math.min(...found) < 40) {
        return;
      }
    }
    assert.fail(seen.join('; '));
  });
});
