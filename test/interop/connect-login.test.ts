/**
 * `sshdesk connect` logging in: keys, agent, passphrases, dialogues on a terminal, host keys. The
 * servers are Debian's sshd and, for dialogues, a scripted one; the terminal is a real pty.
 */
import assert from 'node:assert/strict';
import {
  appendFile,
  chmod,
  copyFile,
  mkdtemp,
  readFile,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { AuthContext } from 'ssh2';
import { Child, eventually, output, run } from '../support/child.ts';
import type { Finished } from '../support/child.ts';
import { DebianSshd, freePort, makeKey } from '../support/debian-sshd.ts';
import { ScriptedSshServer } from '../support/scripted-ssh-server.ts';

const cli = join(import.meta.dirname, '../support/connect-cli.ts');
const isRoot = process.getuid?.() === 0;
const { SSH_AUTH_SOCK: _agent, ...plainEnvironment } = process.env;

/** A desktop whose list is empty: the shortest thing that shows a login. */
const emptyList = 'HELLO NXSERVER - Version 3.5.0-1 - OSS\nNX> 103 Welcome to: h user: u\nNX> 105 ';

function serveEmptyList(channel: {
  write(text: string): unknown;
  on: (...args: never[]) => unknown;
}) {
  channel.write(emptyList);
  const onData = (data: Buffer): void => {
    if (!data.toString().startsWith('listsession')) return;
    channel.write(
      'Listsession\nNX> 127 Available sessions: \n\nDisplay Type\n------- ----\n\nNX> 148 Server capacity: not reached for user: u\nNX> 105 ',
    );
  };
  (channel.on as (event: string, handler: (data: Buffer) => void) => unknown)('data', onData);
}

/** Runs in a pty of `script` and types what the prompts ask for. */
async function onTerminal(
  args: readonly string[],
  answers: readonly (readonly [RegExp, string])[],
  env: NodeJS.ProcessEnv = plainEnvironment,
): Promise<Finished> {
  const quoted = [process.execPath, ...args].map((word) => `'${word.replace(/'/g, "'\\''")}'`);
  const child = new Child('script', ['-qefc', quoted.join(' '), '/dev/null'], {
    env: { ...env, SHELL: '/bin/sh' },
  });
  try {
    let seen = 0;
    for (const [prompt, answer] of answers) {
      const rest = await eventually(`the prompt ${prompt}, after ${child.stdout}`, () => {
        const match = prompt.exec(child.stdout.slice(seen));
        return match && { end: seen + match.index + match[0].length };
      });
      seen = rest.end;
      child.process.stdin?.write(answer);
    }
    return await Promise.race([
      child.finished,
      eventually('its end', () => (child.hasExited ? child.finished : null), 15_000),
    ]);
  } finally {
    await child.stop('SIGKILL');
  }
}

describe('connect logs in', { skip: isRoot ? false : 'needs root', timeout: 120_000 }, () => {
  let sshd: DebianSshd;
  let folder: string;
  let known: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sshdesk-login-'));
    known = join(folder, 'known_hosts');
    const script = join(folder, 'display.mjs');
    await writeFile(
      script,
      `process.stdout.write(${JSON.stringify(emptyList)});
process.stdin.once('data', () => process.stdout.write('L\\nNX> 127 Available sessions: \\n\\nNX> 148 x\\nNX> 105 '));
process.stdin.on('end', () => process.exit(0));`,
    );
    sshd = await DebianSshd.start({
      hostKeys: ['ed25519', 'ecdsa', 'rsa'],
      subsystems: { display: `${process.execPath} ${script}` },
    });
  });
  after(async () => {
    await sshd?.[Symbol.asyncDispose]();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  const base = (...rest: string[]): string[] => [
    ...[cli, 'connect', '-F', 'none', '-o', `UserKnownHostsFile=${known}`, '--list', '--json'],
    ...rest,
    `root@127.0.0.1:${sshd.port}`,
  ];
  const accept = ['-o', 'StrictHostKeyChecking=accept-new', '--batch'];
  const list = (args: readonly string[], env: NodeJS.ProcessEnv = plainEnvironment) =>
    run(process.execPath, args, { env });
  const authorize = async (path: string): Promise<void> =>
    appendFile(join(sshd.folder, 'authorized_keys'), await readFile(`${path}.pub`));

  for (const type of ['ed25519', 'ecdsa', 'rsa']) {
    test(`with a key of type ${type}`, async () => {
      const path = join(folder, `key_${type}`);
      await makeKey(path, type);
      await authorize(path);
      const { code, stdout, stderr } = await list(base(...accept, '-i', path));
      assert.equal(code, 0, stderr);
      assert.deepEqual(JSON.parse(stdout), []);
    });
  }

  test('with an encrypted key, asked for on the terminal, wrong once', async () => {
    const path = join(folder, 'key_encrypted');
    await makeKey(path, 'ed25519', 'open sesame');
    await authorize(path);
    const args = base('-o', 'StrictHostKeyChecking=accept-new', '-i', path);
    const { code, stdout } = await onTerminal(args, [
      [/Enter passphrase for key '.*key_encrypted': /, 'wrong\r'],
      [/Bad passphrase[^]*Enter passphrase for key .*: /, 'open sesame\r'],
    ]);
    assert.equal(code, 0, stdout);
    assert.doesNotMatch(stdout, /sesame/, 'a passphrase is not echoed');
    const batch = await list(base(...accept, '-i', path));
    assert.equal(batch.code, 5, '--batch does not ask');
    assert.match(batch.stderr, /Permission denied \(publickey\)/);
  });

  test('a passphrase is not asked for a key that the server does not want', async () => {
    const path = join(folder, 'key_stranger');
    await makeKey(path, 'ed25519', 'never typed');
    const args = base('-o', 'StrictHostKeyChecking=accept-new', '-i', path, '-i', sshd.userKey);
    const { code, stdout } = await onTerminal(args, []);
    assert.equal(code, 0, stdout);
    assert.doesNotMatch(stdout, /passphrase/);
  });

  test('with a key that only the agent has; IdentitiesOnly keeps it out', async () => {
    const socket = join(folder, 'agent.sock');
    await using agent = new Child('ssh-agent', ['-D', '-a', socket]);
    await eventually('the agent', () => stat(socket).then(Boolean, () => false));
    const env = { ...plainEnvironment, SSH_AUTH_SOCK: socket };
    const path = join(folder, 'key_agent');
    await makeKey(path, 'rsa');
    await authorize(path);
    await output('ssh-add', ['-q', path], { env });
    await rm(path);
    const with_ = await list(base(...accept), env);
    assert.equal(with_.code, 0, with_.stderr);
    const other = join(folder, 'key_other');
    await makeKey(other, 'ed25519');
    const only = await list(base(...accept, '-o', 'IdentitiesOnly=yes', '-i', other), env);
    assert.equal(only.code, 5, only.stderr);
    assert.equal(agent.hasExited, false);
  });

  test('a key that others can read is not used', async () => {
    const path = join(folder, 'key_open');
    await copyFile(sshd.userKey, path);
    await chmod(path, 0o644);
    const { code, stderr } = await list(base(...accept, '-i', path));
    assert.equal(code, 5);
    assert.match(stderr, /mode 0644 lets others read this key/);
  });

  test('two keys in a row (AuthenticationMethods publickey,publickey)', async () => {
    const second = join(folder, 'key_second');
    await makeKey(second, 'ed25519');
    await using strict = await DebianSshd.start({
      config: ['AuthenticationMethods publickey,publickey'],
      subsystems: { display: `${process.execPath} ${join(folder, 'display.mjs')}` },
    });
    await appendFile(join(strict.folder, 'authorized_keys'), await readFile(`${second}.pub`));
    const args = (...keys: string[]): string[] => [
      ...[cli, 'connect', '-F', 'none', '-o', 'UserKnownHostsFile=/dev/null', ...accept],
      ...['-o', 'IdentitiesOnly=yes', ...keys.flatMap((key) => ['-i', key]), '--list'],
      `root@127.0.0.1:${strict.port}`,
    ];
    const both = await list(args(strict.userKey, second));
    assert.equal(both.code, 0, both.stderr);
    assert.equal((await list(args(strict.userKey))).code, 5, 'one key is not two');
  });

  test('a new host key is asked for once, kept 0600, and a changed one refused with exit 6', async () => {
    const file = join(folder, 'asked');
    const args = [
      ...[cli, 'connect', '-F', 'none', '-i', sshd.userKey, '-o', `UserKnownHostsFile ${file}`],
      ...['-o', 'HashKnownHosts=yes', '--list', `root@127.0.0.1:${sshd.port}`],
    ];
    const print = await output('ssh-keygen', ['-lf', `${sshd.hostKey('ed25519')}.pub`]);
    const sha = print.split(' ')[1] ?? '';
    const refused = await onTerminal(args, [[/yes\/no\/\[fingerprint\]\)\? /, 'no\r']]);
    assert.equal(refused.code, 6);
    assert.ok(refused.stdout.includes(sha), 'the fingerprint is shown');
    assert.equal((await list([...args, '--batch'])).code, 6, '--batch never asks');
    const accepted = await onTerminal(args, [
      [/yes\/no\/\[fingerprint\]\)\? /, 'maybe\r'],
      [/type 'yes', 'no' or the fingerprint: /, `${sha}\r`],
    ]);
    assert.equal(accepted.code, 0, accepted.stdout);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const found = await output('ssh-keygen', ['-F', `[127.0.0.1]:${sshd.port}`, '-f', file]);
    assert.match(found, /\|1\|.* ssh-ed25519 /);
    assert.equal((await list([...args, '--batch'])).code, 0, 'known from now on');

    const name = `[127.0.0.1]:${sshd.port}`;
    const other = join(folder, 'other_host');
    await makeKey(other, 'ed25519');
    const key = (await readFile(`${other}.pub`, 'utf8')).split(' ').slice(0, 2).join(' ');
    await writeFile(file, `${name} ${key}\n`);
    for (const mode of ['ask', 'accept-new', 'yes']) {
      const changed = await list([...args, '--batch', '-o', `StrictHostKeyChecking=${mode}`]);
      assert.equal(changed.code, 6, mode);
      assert.match(changed.stderr, /HAS CHANGED/);
      assert.ok(changed.stderr.includes(`${file}:1`));
    }
    await writeFile(
      file,
      `@revoked * ${(await readFile(`${sshd.hostKey('ed25519')}.pub`, 'utf8')).trim()}\n`,
    );
    const revoked = await list([...args, '--batch', '-o', 'StrictHostKeyChecking=no']);
    assert.equal(revoked.code, 6);
    assert.match(revoked.stderr, /revoked/);
  });

  test('a known key of another type is what the server is asked to show', async () => {
    const file = join(folder, 'rsa_known');
    const key = (await readFile(`${sshd.hostKey('rsa')}.pub`, 'utf8')).trim();
    await writeFile(file, `[127.0.0.1]:${sshd.port} ${key}\n`);
    const { code, stderr } = await list([
      ...[cli, 'connect', '-F', 'none', '-i', sshd.userKey, '-o', `UserKnownHostsFile=${file}`],
      ...['-o', 'StrictHostKeyChecking=yes', '--batch', '--list', `root@127.0.0.1:${sshd.port}`],
    ]);
    assert.equal(code, 0, stderr);
    const short = await list([
      ...[cli, 'connect', '-F', 'none', '-i', sshd.userKey, '-o', `UserKnownHostsFile=${file}`],
      ...['-o', 'RequiredRSASize=4096', '--batch', '--list', `root@127.0.0.1:${sshd.port}`],
    ]);
    assert.equal(short.code, 6);
    assert.match(short.stderr, /RSA host key of .* has 3072 bits, and RequiredRSASize is 4096/);
  });

  test('Host blocks of -F say where to go and with what', async () => {
    const config = join(folder, 'config');
    await writeFile(
      config,
      `Host desk\n  HostName 127.0.0.1\n  Port ${sshd.port}\n  User root\n  IdentityFile ${sshd.userKey}\n  UserKnownHostsFile ${known}\n  StrictHostKeyChecking accept-new\nHost *\n  ForwardX11 yes\n`,
    );
    const good = await list([cli, 'connect', '-F', config, '--batch', '--list', 'desk']);
    assert.equal(good.code, 0, good.stderr);
    assert.match(good.stderr, /without effect here: ForwardX11/);
    await writeFile(config, 'Host desk\n  ProxyCommand nc %h %p\n');
    const command = await list([cli, 'connect', '-F', config, '--batch', '--list', 'desk']);
    assert.equal(command.code, 2);
    assert.match(command.stderr, new RegExp(`${config}:2: ProxyCommand is not supported`));
  });

  test('usage is exit 2, nobody there is exit 255', async () => {
    for (const wrong of [
      ['-o', 'NoSuchOption=1', 'h'],
      ['-p', '0', 'h'],
      ['--geometry', '0x0', 'h'],
      ['--list', '--listen', '0', 'h'],
      ['-F', '/nonexistent', 'h'],
      [],
      ['-oProxyHost', 'a@b@'],
    ]) {
      const { code } = await list([cli, 'connect', ...wrong]);
      assert.equal(code, 2, wrong.join(' '));
    }
    const port = await freePort();
    const gone = await list([
      cli,
      'connect',
      '-F',
      'none',
      '--batch',
      '--list',
      `127.0.0.1:${port}`,
    ]);
    assert.equal(gone.code, 255);
    assert.match(gone.stderr, /ECONNREFUSED/);
  });
});

describe('connect has the dialogue that the server wants', { timeout: 60_000 }, () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sshdesk-dialogue-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const args = (port: number, ...rest: string[]): string[] => [
    ...[
      cli,
      'connect',
      '-F',
      'none',
      '-o',
      'UserKnownHostsFile=/dev/null',
      '-o',
      'StrictHostKeyChecking=no',
    ],
    ...['-o', 'IdentityFile=none', '--list', ...rest, `alice@127.0.0.1:${port}`],
  ];

  test('several rounds, prompts with and without echo, texts in order, then a second factor', async () => {
    const answers: string[][] = [];
    const onAuthentication = (context: AuthContext): void => {
      if (context.method !== 'keyboard-interactive') {
        context.reject(['keyboard-interactive']);
        return;
      }
      const isSecond = answers.length > 0;
      if (isSecond) {
        context.prompt([{ prompt: 'Token: ', echo: true }], 'Second', '', (given) => {
          answers.push(given);
          context.accept();
        });
        return;
      }
      context.prompt(
        [
          { prompt: 'Password: ', echo: false },
          { prompt: 'Colour? ', echo: true },
        ],
        'First factor',
        'Read this\nfirst',
        (given) => {
          answers.push(given);
          context.reject(['keyboard-interactive'], true);
        },
      );
    };
    await using server = await ScriptedSshServer.start({
      onAuthentication,
      subsystems: { display: serveEmptyList },
    });
    const { code, stdout } = await onTerminal(args(server.port), [
      [/First factor\s+Read this\s+first\s+\(alice@127\.0\.0\.1\) Password: /, 'hünter\r'],
      [/Colour\? /, 'blux\x7fe\r'],
      [/Second\s+\(alice@127\.0\.0\.1\) Token: /, '123456\r'],
    ]);
    assert.equal(code, 0, stdout);
    assert.deepEqual(answers, [['hünter', 'blue'], ['123456']]);
    assert.doesNotMatch(stdout, /hünter/);
    assert.match(stdout, /Token: 123456/);
  });

  test('a password is asked three times, never sent to a question', async () => {
    const passwords: string[] = [];
    await using server = await ScriptedSshServer.start({
      onAuthentication(context) {
        if (context.method === 'password') passwords.push(context.password);
        context.reject(['password']);
      },
    });
    const prompt = /alice@127\.0\.0\.1's password: /;
    const { code, stdout } = await onTerminal(args(server.port), [
      [prompt, 'one\r'],
      [prompt, 'two\r'],
      [prompt, 'three\r'],
    ]);
    assert.equal(code, 5, stdout);
    assert.deepEqual(passwords, ['one', 'two', 'three']);
    assert.match(stdout, /Permission denied, please try again\.[^]*Permission denied \(password\)/);
  });

  test('Ctrl-C at a prompt gives the terminal back', async () => {
    await using server = await ScriptedSshServer.start({
      onAuthentication: (context) => context.reject(['password']),
    });
    const command = [process.execPath, ...args(server.port)].join(' ');
    const wrapper = `before=$(stty -g); ${command}; rc=$?; test "$before" = "$(stty -g)" && echo same $rc`;
    const child = new Child('script', ['-qfc', wrapper, '/dev/null'], {
      env: { ...plainEnvironment, SHELL: '/bin/sh' },
    });
    try {
      await eventually('the prompt', () => child.stdout.includes('password: '));
      child.process.stdin?.write('\x03');
      await eventually('the exit code', () => /same 130/.exec(child.stdout));
    } finally {
      await child.stop('SIGKILL');
    }
  });

  test('control characters of a server never reach the terminal', async () => {
    await using server = await ScriptedSshServer.start({
      banner: 'hi\x1b]0;owned\x07\x9b2J\n',
      onAuthentication(context) {
        if (context.method !== 'keyboard-interactive') {
          context.reject(['keyboard-interactive']);
          return;
        }
        context.prompt([{ prompt: '\x1b[2Jpin\u202e: ', echo: false }], '\x1b[31mname', '', () => {
          context.accept();
        });
      },
      subsystems: {
        display(channel) {
          channel.stderr.write('warn\x1b[5m\n');
          serveEmptyList(channel as never);
        },
      },
    });
    const { code, stdout } = await onTerminal(args(server.port), [[/pin.*: /, 'x\r']]);
    assert.equal(code, 0, stdout);
    for (const text of [
      '\\x1b]0;owned\\x07',
      '\\x1b[2Jpin\\u202e: ',
      '\\x1b[31mname',
      'warn\\x1b[5m',
    ]) {
      assert.ok(stdout.includes(text), text);
    }
    assert.doesNotMatch(stdout.replaceAll('\x1b[K', ''), /\x1b|\x9b|\x07/);
  });

  test('--batch asks nothing and fails with exit 5', async () => {
    const methods: string[] = [];
    await using server = await ScriptedSshServer.start({
      onAuthentication(context) {
        methods.push(context.method);
        context.reject(['keyboard-interactive', 'password']);
      },
    });
    const { code } = await run(process.execPath, args(server.port, '--batch'), {
      env: plainEnvironment,
    });
    assert.equal(code, 5);
    assert.deepEqual(methods, ['none']);
  });
});
