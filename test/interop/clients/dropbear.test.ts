/**
 * Dropbear's dbclient. It guesses the key exchange (first_kex_packet_follows) with algorithms that
 * need not be the server's first. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe } from 'node:test';
import {
  can,
  EchoTarget,
  Holding,
  inLabWith,
  largeFile,
  password,
  program,
  type ProgramOptions,
  Stage,
  startProgram,
  TestAgent,
  throughPort,
} from '../../support/foreign-client.ts';
import type { TestKey } from '../../support/lab.ts';
import { freePort } from '../../support/server.ts';
import type { ClientOutcome } from '../../support/stock-client.ts';
import { openTerminal } from '../../support/terminal.ts';

const lab = inLabWith(import.meta.url, 'dropbear');

describe('Dropbear dbclient', lab, () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.make();
    // Its own format of private keys.
    for (const key of [stage.ed25519, stage.rsa]) {
      const converted = await program('/usr/bin/dropbearconvert', [
        ...['openssh', 'dropbear', key.file, `${key.file}.dropbear`],
      ]);
      assert.equal(converted.status, 0, converted.stderr);
    }
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const words = (key: TestKey | undefined, args: readonly string[], port = stage.port) => [
    ...['-y', '-y', '-p', String(port)],
    ...(key === undefined ? [] : ['-i', `${key.file}.dropbear`]),
    ...[...args, 'alice@127.0.0.1'],
  ];
  const dbclient = async (
    key: TestKey | undefined,
    command: string,
    args: readonly string[] = [],
    options: ProgramOptions = {},
    port = stage.port,
  ): Promise<ClientOutcome> =>
    await program('/usr/bin/dbclient', [...words(key, args, port), command], options);

  can('key ed25519', 'logs in', async () => {
    const outcome = await dbclient(stage.ed25519, 'id -un');
    assert.deepEqual([outcome.status, outcome.text], [0, 'alice\n'], outcome.stderr);
  });

  can('key rsa', 'logs in', async () => {
    const outcome = await dbclient(stage.rsa, 'id -un');
    assert.deepEqual([outcome.status, outcome.text], [0, 'alice\n'], outcome.stderr);
  });

  can('password', 'logs in', async () => {
    const outcome = await dbclient(undefined, 'id -un', [], {
      environment: { DROPBEAR_PASSWORD: password },
    });
    assert.deepEqual([outcome.status, outcome.text], [0, 'alice\n'], outcome.stderr);
  });

  can('keyboard-interactive', 'logs in', async () => {
    const server = await stage.onlyDialogue();
    const terminal = openTerminal(
      '/usr/bin/dbclient',
      [...words(undefined, [], server.port), 'id -un'],
      { rows: 24, columns: 80 },
    );
    await terminal.shows(/Password: /);
    terminal.type(`${password}\n`);
    await terminal.shows(/^alice$/m);
    assert.equal(await terminal.ended, 0);
  });

  can('command', 'gives the exit status and keeps stderr apart', async () => {
    const outcome = await dbclient(stage.ed25519, 'echo out; echo err >&2; exit 7');
    assert.deepEqual([outcome.status, outcome.text], [7, 'out\n']);
    assert.match(outcome.stderr, /^err$/m);
  });

  can('upload', '9 MiB arrive as they were', async () => {
    const outcome = await dbclient(stage.ed25519, 'cat > up', [], { input: stage.large });
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(readFileSync('/home/alice/up').equals(stage.large));
  });

  can('download', '9 MiB arrive as they are', async () => {
    const outcome = await dbclient(stage.ed25519, `cat ${largeFile}`);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(outcome.stdout.equals(stage.large));
  });

  can('rekeyed', 'goes along with the server, in the midst of both directions', async () => {
    const { port } = await stage.rekeying();
    const outcome = await dbclient(stage.ed25519, 'cat', [], { input: stage.large }, port);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(outcome.stdout.equals(stage.large));
  });

  can('pty', 'has a terminal of its size', async () => {
    const terminal = openTerminal(
      '/usr/bin/dbclient',
      [...words(stage.ed25519, ['-t']), 'tty; stty size'],
      { rows: 33, columns: 99 },
    );
    await terminal.shows(/^\/dev\/pts\/\d+\n33 99$/m);
    assert.equal(await terminal.ended, 0);
  });

  can('-L', '9 MiB go through and come back', async () => {
    await using target = await EchoTarget.start();
    const port = await freePort();
    await using holding = new Holding(
      startProgram(
        '/usr/bin/dbclient',
        words(stage.ed25519, ['-N', '-L', `${port}:127.0.0.1:${target.port}`]),
      ),
    );
    await holding.listening(port);
    const back = await throughPort(port, stage.large);
    assert.ok(back.equals(stage.large), holding.said);
  });

  can('-R', '9 MiB go through and come back', async () => {
    await using target = await EchoTarget.start();
    const port = await freePort();
    await using holding = new Holding(
      startProgram(
        '/usr/bin/dbclient',
        words(stage.ed25519, ['-N', '-R', `${port}:127.0.0.1:${target.port}`]),
      ),
    );
    await holding.listening(port);
    const back = await throughPort(port, stage.large);
    assert.ok(back.equals(stage.large), holding.said);
  });

  can('agent', 'is forwarded and lists its key', async () => {
    await using agent = await TestAgent.start(stage.rsa);
    const outcome = await dbclient(stage.ed25519, 'ssh-add -l', ['-A'], {
      environment: { SSH_AUTH_SOCK: agent.socket },
    });
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.match(outcome.text, /3072 SHA256:\S+ rsa@test \(RSA\)/);
  });
});
