/**
 * Environments that are meant to harm: files that are no files, that are large, that name what a linker
 * acts upon; values of a client with NUL and newlines; more than a process can be given. In the lab.
 */
import assert from 'node:assert/strict';
import { chownSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import ssh2 from 'ssh2';
import { inLab, makeKey, makeUser, type LabUser, run, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ssh, sshArguments } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 150_000);
const file = '/home/alice/.ssh/environment';

describe('hostile environments', lab, () => {
  let key: TestKey;
  let alice: LabUser;
  let ours: TestServer;
  let theirs: TestServer;
  before(async () => {
    key = makeKey('ed25519');
    alice = makeUser('alice', { authorizedKeys: [key.line] });
    const config = ['UsePAM yes', 'PermitUserEnvironment yes', 'AcceptEnv LC_*'];
    ours = await startServer({ kind: 'sshdesk', config });
    theirs = await startServer({ kind: 'sshd', config });
  });
  after(async () => {
    await ours?.stop();
    await theirs?.stop();
  });
  afterEach(() => rmSync(file, { force: true }));

  const write = (content: string): void => {
    writeFileSync(file, content);
    chownSync(file, alice.uid, alice.gid);
  };

  const odd: readonly (readonly [string, () => void])[] = [
    ['10 MiB in one line', () => write(`A=${'x'.repeat(10 * 1024 * 1024)}\n`)],
    ['10 MiB of lines', () => write('A=1\n'.repeat(2_621_440))],
    [
      'a hole of 1 TiB',
      () => {
        write('A=1\n');
        truncateSync(file, 2 ** 40);
      },
    ],
    ['a pipe that nobody writes to', () => run('mkfifo', [file])],
    ['a link to /dev/zero', () => symlinkSync('/dev/zero', file)],
    ['a link to /etc/shadow', () => symlinkSync('/etc/shadow', file)],
    ['a link to itself', () => symlinkSync(file, file)],
    ['a directory', () => run('mkdir', [file])],
  ];
  for (const [name, make] of odd) {
    test(`INCIDENTS 20: ~/.ssh/environment is ${name}: the session begins without it, at once`, async () => {
      make();
      try {
        const began = Date.now();
        const { status, text, stderr } = await ssh(ours, { key }, 'echo "in ${A-}"; env | wc -c');
        assert.equal(status, 0, stderr);
        assert.match(text, /^in \n\d{1,4}\n$/);
        assert.ok(Date.now() - began < 10_000);
      } finally {
        rmSync(file, { recursive: true, force: true });
      }
    });
  }

  test('INCIDENTS 20: of ~/.ssh/environment a linker hears nothing, what is the user’s own he may set as with sshd', async () => {
    write(
      [
        'LD_PRELOAD=/tmp/evil.so',
        'LD_LIBRARY_PATH=/tmp',
        'GLIBC_TUNABLES=glibc.malloc.check=3',
        'BASH_ENV=/home/alice/bash-env',
        'PATH=/home/alice/bin:/usr/bin:/bin',
        'HOME=/tmp',
        'SHELL=/bin/other',
        'USER=root',
        'NODE_OPTIONS=--require=/tmp/evil.js',
        '',
      ].join('\n'),
    );
    const command =
      'echo "$BASH_ENV $HOME $SHELL $USER $PATH $NODE_OPTIONS"; env | grep -E "^(LD_|GLIBC_)" || true';
    const [mine, other] = [await ssh(ours, { key }, command), await ssh(theirs, { key }, command)];
    assert.equal(mine.text.split('\n')[0], other.text.split('\n')[0]);
    assert.match(mine.text, /^\/home\/alice\/bash-env \/tmp \/bin\/other root \/home\/alice\/bin:/);
    assert.doesNotMatch(mine.text, /^(LD_|GLIBC_)/m);
    assert.match(other.text, /^LD_PRELOAD=/m, 'sshd hands it over, so the file was read');
  });

  test('a command and its variables may be bytes of any encoding', async () => {
    const said = [];
    for (const server of [ours, theirs]) {
      // The last word is made into bytes behind Node, which would encode it.
      const args = sshArguments(server, { key, args: ['-o', 'SendEnv=LC_*'] });
      const made = 'w=$(printf "%b" "$1"); shift; LC_X=$(printf "\\351\\377") exec ssh "$@" "$w"';
      const command = 'printf %s "\\xe9\\xff \\xc3\\xa9 $LC_X" | od -An -tx1';
      said.push(run('bash', ['-c', made, 'bash', command, ...args]));
    }
    assert.deepEqual(
      said,
      Array.from({ length: 2 }, () => ' e9 ff 20 c3 a9 20 e9 ff\n'),
    );
  });

  const connected = async (): Promise<ssh2.Client> => {
    const client = new ssh2.Client();
    await new Promise<void>((resolve, reject) => {
      client.once('ready', resolve).once('error', reject);
      client.connect({
        host: '127.0.0.1',
        port: ours.port,
        username: 'alice',
        privateKey: readFileSync(key.file),
      });
    });
    return client;
  };
  const exec = (client: ssh2.Client, env: NodeJS.ProcessEnv, command: string): Promise<string> =>
    new Promise((resolve, reject) =>
      client.exec(command, { env }, (error, channel) => {
        if (error) {
          reject(error);
          return;
        }
        let text = '';
        channel.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
        channel.stderr.resume();
        channel.once('close', () => resolve(text));
      }),
    );

  test('INCIDENTS 20: a value with NUL is not taken, one with newlines makes no second variable', async () => {
    const client = await connected();
    const listing = 'env -0 | grep -z ^LC_ | sort -z | tr "\\0" "|"';
    assert.equal(await exec(client, { LC_A: 'a\0LC_B=b', LC_C: 'c' }, listing), 'LC_C=c|');
    assert.equal(await exec(client, { LC_A: 'a\nLC_B=b\r\n' }, listing), 'LC_A=a\nLC_B=b\r\n|');
    assert.equal(await exec(client, { 'LC_A=x': 'y', 'LC_\n': 'z', LC_: '' }, listing), 'LC_=|');
    client.end();
  });

  test('INCIDENTS 20: more than a process can be given is refused, and the connection goes on', async () => {
    write(`${Array.from({ length: 60 }, (_, at) => `A${at}=${'x'.repeat(1000)}`).join('\n')}\n`);
    const client = await connected();
    const env = Object.fromEntries(
      Array.from({ length: 120 }, (_, at) => [`LC_${at}`, 'y'.repeat(520)]),
    );
    const asked = exec(client, env, `true ${'z'.repeat(25_000)}; echo in`);
    await asked.then(
      (text) => assert.equal(text, 'in\n'),
      (error: Error) => assert.match(error.message, /Unable to exec/),
    );
    rmSync(file);
    assert.equal(await exec(client, {}, 'echo still here'), 'still here\n');
    client.end();
  });
});
