/** Commands and shells by the stock client: RFC 4254 §6.5, §6.10. Runs in: test, in the lab. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { processTree, startServer, type TestServer } from '../support/server.ts';
import { outcomeOf, spawnClient, ssh, sshArguments } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);
const hundredMegabytes = 100 * 1024 * 1024;

describe('a command', lab, () => {
  let server: TestServer;
  let key: TestKey;
  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    server = await startServer({
      config: ['UsePAM yes', 'MaxSessions 10', 'Subsystem sftp /usr/lib/openssh/sftp-server'],
    });
  });
  after(async () => await server?.stop());

  test('every exit status from 0 to 255 comes back, over one connection', async () => {
    const control = '/tmp/control-status';
    const master = spawnClient(
      'ssh',
      sshArguments(server, { key, args: ['-M', '-N', '-o', `ControlPath=${control}`] }),
    );
    const ended = outcomeOf(master);
    await assertMaster(control);
    const wrong: string[] = [];
    for (let from = 0; from < 256; from += 8) {
      await Promise.all(
        Array.from({ length: 8 }, async (_, index) => {
          const status = from + index;
          const outcome = await ssh(
            server,
            { key, args: ['-o', `ControlPath=${control}`] },
            `exit ${status}`,
          );
          if (outcome.status !== status) {
            wrong.push(`${status} came as ${outcome.status}: ${outcome.stderr}`);
          }
        }),
      );
    }
    master.kill('SIGTERM');
    await ended;
    assert.deepEqual(wrong, []);
  });

  test('the end by a signal comes as exit-signal: the client ends with 255', async () => {
    const outcome = await ssh(server, { key }, 'kill -9 $$');
    assert.equal(outcome.status, 255);
  });

  test('stdout and stderr come apart', async () => {
    const outcome = await ssh(server, { key }, 'echo out; echo err >&2; echo out2');
    assert.deepEqual([outcome.text, outcome.stderr], ['out\nout2\n', 'err\n']);
  });

  test('/dev/stdout, /dev/stderr and /dev/stdin can be opened again', async () => {
    const outcome = await ssh(
      server,
      { key, input: 'typed' },
      'cat < /dev/stdin > /dev/stdout; echo e > /dev/stderr',
    );
    assert.deepEqual([outcome.text, outcome.stderr], ['typed', 'e\n']);
  });

  test('half-close: the end of stdin reaches the command, its output comes behind', async () => {
    const outcome = await ssh(server, { key, input: 'x' }, 'cat; sleep 0.2; echo done');
    assert.deepEqual([outcome.status, outcome.text], [0, 'xdone\n']);
  });

  test('a command that closes its output is waited for', async () => {
    const outcome = await ssh(server, { key }, 'exec >&- 2>&-; sleep 0.3; exit 7');
    assert.equal(outcome.status, 7);
  });

  test('a command that closes its stdin goes on', async () => {
    const outcome = await ssh(
      server,
      { key, input: Buffer.alloc(200_000) },
      'exec <&-; sleep 0.2; echo on',
    );
    assert.deepEqual([outcome.status, outcome.text], [0, 'on\n']);
  });

  test('100 MB go through cat, both ways at once, byte for byte', { timeout: 50_000 }, async () => {
    const sent = createHash('sha256');
    const child = spawnClient('ssh', sshArguments(server, { key }, 'cat'));
    const received = createHash('sha256');
    let receivedBytes = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      received.update(chunk);
      receivedBytes += chunk.length;
    });
    const block = randomBytes(1024 * 1024);
    const closed = new Promise((resolve) => child.once('close', resolve));
    for (let bytes = 0; bytes < hundredMegabytes; bytes += block.length) {
      block.writeUInt32BE(bytes, 0);
      sent.update(block);
      if (!child.stdin.write(Buffer.from(block))) {
        await new Promise((resolve) => child.stdin.once('drain', resolve));
      }
    }
    child.stdin.end();
    assert.equal(await closed, 0);
    assert.equal(receivedBytes, hundredMegabytes);
    assert.equal(received.digest('hex'), sent.digest('hex'));
  });

  test('stderr and stdout, 20 MB each, both blocked on the window, stay whole', async () => {
    const child = spawnClient(
      'ssh',
      sshArguments(
        server,
        { key },
        'head -c 20971520 /dev/zero | tr "\\0" o & head -c 20971520 /dev/zero | tr "\\0" e >&2; wait',
      ),
    );
    // A reader that does not read: windows of both run full.
    child.stdout.pause();
    child.stderr.pause();
    await delay(700);
    const outcome = await outcomeOf(child, { timeoutMs: 30_000 });
    assert.equal(outcome.status, 0);
    assert.equal(outcome.stdout.length, 20971520);
    assert.ok(outcome.stdout.every((byte) => byte === 0x6f));
    assert.equal(outcome.stderr.length, 20971520);
    assert.match(outcome.stderr, /^e+$/);
  });

  test('200 bytes every 10 ms arrive as they are written', async () => {
    const child = spawnClient(
      'ssh',
      sshArguments(server, { key }, 'for i in 1 2 3 4 5; do echo $i; sleep 0.2; done'),
    );
    const at: number[] = [];
    child.stdout.on('data', () => at.push(Date.now()));
    await outcomeOf(child);
    assert.ok(at.length >= 5, `came in ${at.length} pieces`);
  });

  test('ssh -T with commands on stdin runs a login shell', async () => {
    const outcome = await ssh(server, { key, args: ['-T'], input: 'echo $0; pwd; exit 3\n' });
    assert.deepEqual([outcome.status, outcome.text], [3, '-bash\n/home/alice\n']);
  });

  test('ssh -N stays and leaves nothing', async () => {
    const base = await server.settled();
    const child = spawnClient('ssh', sshArguments(server, { key, args: ['-N'] }));
    const ended = outcomeOf(child);
    await delay(600);
    assert.equal(child.exitCode, null);
    child.kill('SIGTERM');
    await ended;
    assert.deepEqual(await server.leftovers(base), []);
  });

  test('one connection carries ten sessions; the eleventh is refused', async () => {
    const control = '/tmp/control-sessions';
    const master = spawnClient(
      'ssh',
      sshArguments(server, { key, args: ['-M', '-N', '-o', `ControlPath=${control}`] }),
    );
    const masterEnded = outcomeOf(master);
    await assertMaster(control);
    const mux = { key, args: ['-o', `ControlPath=${control}`] };
    const ten = Array.from({ length: 10 }, (_, index) => {
      const child = spawnClient('ssh', sshArguments(server, mux, `echo ready; cat; exit ${index}`));
      return {
        child,
        ready: new Promise((resolve) => child.stdout.once('data', resolve)),
      };
    });
    await Promise.all(ten.map(({ ready }) => ready));
    // The mux client falls back to a connection of its own when the session is refused; -O tells
    // nothing, so forbid the fallback by a port that does not answer.
    const eleventh = await ssh(
      server,
      { key, args: ['-o', `ControlPath=${control}`, '-o', 'ProxyCommand=false'] },
      'echo eleventh',
    );
    assert.notEqual(eleventh.status, 0);
    assert.equal(eleventh.text, '');
    const statuses = await Promise.all(
      ten.map(async ({ child }) => (await outcomeOf(child)).status),
    );
    assert.deepEqual(statuses, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const again = await ssh(server, mux, 'echo again');
    assert.equal(again.text, 'again\n');
    master.kill('SIGTERM');
    await masterEnded;
  });

  test('a command that is not there: 127 and the shell says so', async () => {
    const outcome = await ssh(server, { key }, '/no/such/program');
    assert.equal(outcome.status, 127);
    assert.match(outcome.stderr, /\/no\/such\/program: No such file or directory/);
  });

  test('the server closes nothing early: output of a background child behind the exit', async () => {
    const outcome = await ssh(server, { key }, '(sleep 0.5; echo late) & echo early');
    assert.deepEqual([outcome.status, outcome.text], [0, 'early\nlate\n']);
  });

  test('a client killed by -9 leaves a command that reads stdin with its end', async () => {
    const base = await server.settled();
    const child = spawnClient('ssh', sshArguments(server, { key }, 'echo up; cat > /dev/null'));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.kill('SIGKILL');
    assert.deepEqual(await server.leftovers(base), []);
    assert.ok(processTree(server.pid).every((entry) => !entry.title.includes('cat')));
  });

  test('a file of 100 MB as stdin arrives whole', { timeout: 40_000 }, async () => {
    writeFileSync('/tmp/hundred', randomBytes(hundredMegabytes));
    const wanted = createHash('sha256');
    for await (const chunk of createReadStream('/tmp/hundred')) {
      wanted.update(chunk as Buffer);
    }
    const child = spawnClient('ssh', sshArguments(server, { key }, 'sha256sum'));
    createReadStream('/tmp/hundred').pipe(child.stdin, { end: true });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    const status = await new Promise((resolve) => child.once('close', resolve));
    assert.deepEqual([status, text], [0, `${wanted.digest('hex')}  -\n`]);
  });
});

async function assertMaster(control: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const outcome = await outcomeOf(
      spawnClient('ssh', ['-F', 'none', '-O', 'check', '-o', `ControlPath=${control}`, 'x']),
    );
    if (outcome.status === 0) {
      return;
    }
    await delay(50);
  }
  throw new Error('the master connection did not come up');
}
