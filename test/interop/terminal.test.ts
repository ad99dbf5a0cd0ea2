/** Terminals: size, pixels, changes of both, modes, signals, hang-up. RFC 4254 §6.2, §6.7, §8. In the lab. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { allProcesses, startServer, type TestServer } from '../support/server.ts';
import { ssh, sshArguments } from '../support/stock-client.ts';
import { openTerminal, type Terminal } from '../support/terminal.ts';

const lab = inLab(import.meta.url);
const size = { rows: 31, columns: 101, widthPixels: 1010, heightPixels: 620 };
const askPixels = `perl -e 'ioctl(STDIN, 0x5413, $b = pack("S4", 0, 0, 0, 0)); print join(" ", unpack("S4", $b)), "\\n"'`;

describe('a terminal', lab, () => {
  let server: TestServer;
  let reference: TestServer;
  let key: TestKey;
  const config = ['UsePAM yes', 'PrintMotd no', 'PrintLastLog no', 'AcceptEnv LANG'];
  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    server = await startServer({ config });
    reference = await startServer({ config, kind: 'sshd' });
  });
  after(async () => {
    await server?.stop();
    await reference?.stop();
  });

  const open = (
    to: TestServer,
    command: readonly string[],
    stty: readonly string[] = [],
  ): Terminal =>
    openTerminal('ssh', sshArguments(to, { key, args: ['-tt'] }, ...command), size, stty);

  test('has the rows, columns and pixels of the client', async () => {
    const terminal = open(server, [askPixels]);
    await terminal.shows(/^31 101 1010 620$/m);
    assert.equal(await terminal.ended, 0);
  });

  test('follows the client when its window changes, pixels too, with SIGWINCH', async () => {
    const terminal = open(server, [
      `trap '${askPixels.replaceAll("'", "'\\''")}' WINCH; echo ready; while :; do sleep 0.1; done`,
    ]);
    await terminal.shows(/ready/);
    terminal.resize({ rows: 50, columns: 132, widthPixels: 1320, heightPixels: 1000 });
    await terminal.shows(/^50 132 1320 1000$/m);
    terminal.resize({ rows: 10, columns: 20 });
    await terminal.shows(/^10 20 0 0$/m);
    // A shell goes on where ^C has met what it runs for the trap, and that ended well all the same.
    const typing = setInterval(() => terminal.type('\x03'), 200);
    await terminal.ended.finally(() => clearInterval(typing));
  });

  test('belongs to the user, group tty, and stands in TERM, SSH_TTY and tty(1)', async () => {
    const terminal = open(server, ['tty; echo $SSH_TTY $TERM; stat -c "%U %G %a" $(tty)']);
    const [, tty] = await terminal.shows(/^(\/dev\/pts\/\d+)\n\1 xterm$/m);
    assert.ok(tty);
    await terminal.shows(/^alice tty 6[02]0$/m);
    await terminal.ended;
  });

  test('is the controlling terminal: ^C ends a command with 130, ^D a shell', async () => {
    const interrupted = open(server, ['echo ready; sleep 20']);
    await interrupted.shows(/ready/);
    interrupted.type('\x03');
    assert.ok([130, 255].includes((await interrupted.ended) ?? -1));
    const shell = open(server, []);
    await shell.shows(/\$ $/);
    shell.type('(exit 5)\n');
    await delay(200);
    shell.type('\x04');
    assert.equal(await shell.ended, 5);
  });

  test('a login shell: argv0, home, job control', async () => {
    const shell = open(server, []);
    await shell.shows(/\$ $/);
    shell.type('echo "[$0]" "[$PWD]" "[$-]"\n');
    await shell.shows(/^\[-bash\] \[\/home\/alice\] \[\S*i\S*m\S*\]$/m);
    shell.type('sleep 30\n');
    await delay(200);
    shell.type('\x1a');
    await shell.shows(/Stopped\s+sleep 30/);
    shell.type('kill %1; exit 9\n');
    await delay(100);
    shell.type('exit 9\n');
    assert.equal(await shell.ended, 9);
  });

  for (const [name, stty] of [
    ['as they are', []],
    ['of another kind', ['intr', '^B', 'erase', '^H', '-icrnl', '-ixon', '-echoe', 'iutf8']],
    ['raw', ['raw', '-echo']],
    ['with speeds', ['9600', 'istrip', '-opost', '-isig']],
  ] as const) {
    test(`the modes of the client arrive as they do at sshd: ${name}`, async () => {
      const shown = await Promise.all(
        [server, reference].map(async (to) => {
          const terminal = open(to, ['sleep 0.3; stty -a | tr ";" "\\n"; stty -g'], stty);
          await terminal.ended;
          return terminal.shown();
        }),
      );
      assert.equal(shown[0], shown[1]);
      assert.match(shown[0] as string, /rows 31/);
      if (name === 'of another kind') {
        assert.match(shown[0] as string, /intr = \^B/);
      }
    });
  }

  test('gives 2 MB whole, and takes a long paste', async () => {
    const terminal = open(server, ['stty raw -echo; seq 1 300000 | tr "\\n" " "; echo end']);
    await terminal.shows(/end/, 15_000);
    const numbers = /1 2 3 [\d ]+/.exec(terminal.shown())?.[0].trim().split(' ').map(Number);
    assert.equal(numbers?.length, 300_000);
    assert.ok(numbers?.every((value, index) => value === index + 1));
    await terminal.ended;
    const paste = open(server, ['stty raw -echo; echo ready; head -c 100000 | cksum']);
    await paste.shows(/ready/);
    // The paste goes through the local terminal in raw mode; ~ is ssh's escape character.
    paste.type('0123456789'.repeat(10_000));
    await paste.shows(/\d+ 100000/);
    await paste.ended;
  });

  test('a client killed by -9 hangs the shell up', async () => {
    const base = await server.settled();
    const shell = open(server, []);
    await shell.shows(/\$ $/);
    shell.type(
      'trap "touch /tmp/hung-up; exit" HUP; echo tr""apped; while :; do sleep 0.1; done\n',
    );
    await shell.shows(/trapped/);
    shell.kill();
    await delay(500);
    assert.equal(readFileSync('/tmp/hung-up', 'utf8'), '');
    const left = await server.leftovers(base, 1_000);
    assert.deepEqual(
      left.filter((line) => !/^file (hung-up|terminal-)/.test(line)),
      [],
    );
    assert.ok(!allProcesses().some((entry) => entry.title === '-bash'));
  });

  test('ends when the shell ends, though a background child holds it a while', async () => {
    const terminal = open(server, ['(trap "" HUP; sleep 3) & echo over']);
    const began = Date.now();
    assert.equal(await terminal.ended, 0);
    assert.ok(Date.now() - began < 2_500, 'waited for the child');
  });

  test('stderr of a command in a terminal is in the terminal', async () => {
    const outcome = await ssh(
      server,
      { key, args: ['-tt'], input: '' },
      'stty -opost; echo e >&2; echo o',
    );
    assert.match(outcome.text, /e\n.*o\n/s);
    assert.equal(outcome.stderr, '');
  });

  test('without one tty(1) says so', async () => {
    const outcome = await ssh(server, { key }, 'tty; echo "[$SSH_TTY]"');
    assert.equal(outcome.text, 'not a tty\n[]\n');
  });
});

describe('PermitTTY no', lab, () => {
  test('refuses the terminal, at which the stock client leaves; without one a command runs', async () => {
    const key = makeKey('ed25519');
    makeUser('tess', { authorizedKeys: [key.line] });
    await using server = await startServer({ config: ['UsePAM yes', 'PermitTTY no'] });
    const refused = await ssh(server, { key, user: 'tess', args: ['-tt'] }, 'tty');
    assert.match(refused.stderr, /PTY allocation request failed on channel 0/);
    assert.deepEqual([refused.status, refused.text], [255, '']);
    const plain = await ssh(server, { key, user: 'tess' }, 'tty');
    assert.equal(plain.text, 'not a tty\n');
  });
});
