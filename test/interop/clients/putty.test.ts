/**
 * PuTTY's command line programs: plink, psftp, pscp. They read keys in their own format, which
 * puttygen makes. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { after, before, describe } from 'node:test';
import {
  can,
  EchoTarget,
  Holding,
  inLabWith,
  largeFile,
  passwordFile,
  password,
  program,
  type ProgramOptions,
  Stage,
  startProgram,
  TestAgent,
  throughPort,
} from '../../support/foreign-client.ts';
import { run, type TestKey } from '../../support/lab.ts';
import { freePort, type TestServer } from '../../support/server.ts';
import type { ClientOutcome } from '../../support/stock-client.ts';
import { openTerminal } from '../../support/terminal.ts';

const lab = inLabWith(import.meta.url, 'putty');

describe('PuTTY', lab, () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.make();
    for (const key of [stage.ed25519, stage.rsa]) {
      run('puttygen', [key.file, '-O', 'private', '-o', `${key.file}.ppk`]);
    }
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  /** What `-hostkey` takes; nothing is kept below ~/.putty. */
  const hostKeysOf = (server: TestServer): readonly string[] =>
    ['ed25519', 'ecdsa', 'rsa'].flatMap((type) => {
      const said = run('ssh-keygen', ['-l', '-f', `${server.folder}/host_${type}.pub`]);
      return ['-hostkey', /SHA256:\S+/.exec(said)?.[0] ?? ''];
    });
  const options = (key: TestKey | undefined): readonly string[] => [
    ...['-P', String(stage.port), ...hostKeysOf(stage.server)],
    ...(key === undefined ? [] : ['-batch', '-i', `${key.file}.ppk`]),
  ];
  const plink = async (
    args: readonly string[],
    command: readonly string[],
    more: ProgramOptions = {},
  ): Promise<ClientOutcome> =>
    await program('/usr/bin/plink', ['-ssh', ...args, 'alice@127.0.0.1', ...command], more);

  can('key ed25519', 'logs in', async () => {
    const outcome = await plink(options(stage.ed25519), ['id -un']);
    assert.deepEqual([outcome.status, outcome.text], [0, 'alice\n'], outcome.stderr);
  });

  can('key rsa', 'logs in with rsa-sha2', async () => {
    const outcome = await plink(options(stage.rsa), ['id -un']);
    assert.deepEqual([outcome.status, outcome.text], [0, 'alice\n'], outcome.stderr);
  });

  can('password', 'logs in with that of a file', async () => {
    const args = ['-batch', ...options(undefined), '-pwfile', passwordFile];
    const outcome = await plink(args, ['id -un']);
    assert.deepEqual([outcome.status, outcome.text], [0, 'alice\n'], outcome.stderr);
  });

  can('keyboard-interactive', 'answers the question of PAM', async () => {
    const server = await stage.onlyDialogue();
    const terminal = openTerminal(
      '/usr/bin/plink',
      [
        ...['-ssh', '-P', String(server.port), ...hostKeysOf(server)],
        ...['alice@127.0.0.1', 'id -un'],
      ],
      { rows: 24, columns: 80 },
    );
    await terminal.shows(/Password: /);
    terminal.type(`${password}\n`);
    // Access granted. Press Return to begin session.
    await terminal.shows(/Press Return|^alice$/m);
    terminal.type('\n');
    await terminal.shows(/^alice$/m);
    assert.equal(await terminal.ended, 0);
  });

  can('command', 'gives the exit status and keeps stderr apart', async () => {
    const outcome = await plink(options(stage.ed25519), ['echo out; echo err >&2; exit 7']);
    assert.deepEqual([outcome.status, outcome.text, outcome.stderr], [7, 'out\n', 'err\n']);
  });

  can('upload', '9 MiB arrive as they were', async () => {
    const outcome = await plink(options(stage.ed25519), ['cat > up'], { input: stage.large });
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(readFileSync('/home/alice/up').equals(stage.large));
  });

  can('download', '9 MiB arrive as they are', async () => {
    const outcome = await plink(options(stage.ed25519), [`cat ${largeFile}`]);
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(outcome.stdout.equals(stage.large));
  });

  can('rekey', 'every MB by its own wish, in the midst of both directions', async () => {
    mkdirSync('/tmp/putty/.putty/sessions', { recursive: true });
    writeFileSync('/tmp/putty/.putty/sessions/rekeying', 'PresentFlag=1\nRekeyBytes=1M\n');
    const outcome = await plink(['-v', '-load', 'rekeying', ...options(stage.ed25519)], ['cat'], {
      input: stage.large,
      environment: { HOME: '/tmp/putty' },
    });
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(outcome.stdout.equals(stage.large));
    const times = outcome.stderr.match(/Initiating key re-exchange/g)?.length ?? 0;
    assert.ok(times >= 5, `${times} times`);
  });

  can('rekeyed', 'goes along with the server, in the midst of both directions', async () => {
    const server = await stage.rekeying();
    const args = ['-batch', '-P', String(server.port), ...hostKeysOf(server)];
    const outcome = await plink([...args, '-i', `${stage.ed25519.file}.ppk`], ['cat'], {
      input: stage.large,
    });
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(outcome.stdout.equals(stage.large));
  });

  can('pty', 'has one that the user can type into', async () => {
    const terminal = openTerminal(
      '/usr/bin/plink',
      ['-ssh', ...options(stage.ed25519), '-t', 'alice@127.0.0.1', 'tty; read x; echo "[$x]"'],
      { rows: 33, columns: 99 },
    );
    await terminal.shows(/^\/dev\/pts\/\d+$/m);
    terminal.type('typed\n');
    await terminal.shows(/^\[typed\]$/m);
    assert.equal(await terminal.ended, 0);
  });

  can('sftp', 'psftp puts, lists and gets', async () => {
    rmSync('/tmp/got', { force: true });
    writeFileSync('/tmp/batch', `put ${largeFile} psftp\nls psf*\nget psftp /tmp/got\nrm psftp\n`);
    const outcome = await program('/usr/bin/psftp', [
      ...[...options(stage.ed25519), '-b', '/tmp/batch', 'alice@127.0.0.1'],
    ]);
    assert.equal(outcome.status, 0, outcome.stderr + outcome.text);
    assert.match(outcome.text, /^-rw\S+ .* 9437201 .* psftp$/m);
    assert.ok(readFileSync('/tmp/got').equals(stage.large));
  });

  for (const [name, flag] of [
    ['the sftp protocol', '-sftp'],
    ['the old protocol', '-scp'],
  ] as const) {
    can('scp', `pscp with ${name} copies there and back`, async () => {
      rmSync('/tmp/got', { force: true });
      const pscp = async (...operands: string[]) =>
        await program('/usr/bin/pscp', ['-q', ...options(stage.ed25519), flag, ...operands]);
      const up = await pscp(largeFile, 'alice@127.0.0.1:pscp');
      assert.equal(up.status, 0, up.stderr);
      assert.equal(statSync('/home/alice/pscp').uid, stage.alice.uid);
      const down = await pscp('alice@127.0.0.1:pscp', '/tmp/got');
      assert.equal(down.status, 0, down.stderr);
      assert.ok(readFileSync('/tmp/got').equals(stage.large));
    });
  }

  can('-L', '9 MiB go through and come back', async () => {
    await using target = await EchoTarget.start();
    const port = await freePort();
    const tunnel = `127.0.0.1:${port}:127.0.0.1:${target.port}`;
    await using holding = new Holding(
      startProgram('/usr/bin/plink', [
        ...['-ssh', ...options(stage.ed25519), '-N', '-L', tunnel, 'alice@127.0.0.1'],
      ]),
    );
    await holding.listening(port);
    assert.ok((await throughPort(port, stage.large)).equals(stage.large), holding.said);
  });

  can('-R', '9 MiB go through and come back', async () => {
    await using target = await EchoTarget.start();
    const port = await freePort();
    await using holding = new Holding(
      startProgram('/usr/bin/plink', [
        ...['-ssh', ...options(stage.ed25519), '-N', '-R', `${port}:127.0.0.1:${target.port}`],
        'alice@127.0.0.1',
      ]),
    );
    await holding.listening(port);
    assert.ok((await throughPort(port, stage.large)).equals(stage.large), holding.said);
  });

  can('agent', 'is forwarded and lists its key', async () => {
    await using agent = await TestAgent.start(stage.rsa);
    const outcome = await plink(['-A', ...options(stage.ed25519)], ['ssh-add -l'], {
      environment: { SSH_AUTH_SOCK: agent.socket },
    });
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.match(outcome.text, /3072 SHA256:\S+ rsa@test \(RSA\)/);
  });
});
