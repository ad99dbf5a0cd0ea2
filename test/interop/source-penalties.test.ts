/**
 * PerSourcePenalties, PerSourceMaxStartups and RefuseConnection with real clients of several
 * addresses of the loopback. Debian's sshd is older than penalties, so these are about sshdesk alone;
 * the lines and rules are those of sshd_config(5) of OpenSSH 10.5. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { serverKind, startServer, type TestServer } from '../support/server.ts';
import { type ClientOutcome, ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 240_000);
const skip = serverKind === 'sshd' ? 'sshd 9.2 knows no penalties' : false;

let key: TestKey;
let stranger: TestKey;
before(() => {
  if (lab.skip === false) {
    key = makeKey('ed25519');
    stranger = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    makeUser('bob', { authorizedKeys: [key.line] });
  }
});

function login(server: TestServer, source: string, user = 'alice'): Promise<ClientOutcome> {
  return ssh(server, { key, user, args: ['-b', source] }, 'echo in');
}

function failure(server: TestServer, source: string, user = 'alice'): Promise<ClientOutcome> {
  return ssh(server, { key: stranger, user, args: ['-b', source] }, 'echo in');
}

/** What the server says first, or all it says before it hangs up. */
function knock(server: TestServer, source: string): { socket: Socket; first: Promise<string> } {
  const socket = connect({ port: server.port, host: '127.0.0.1', localAddress: source });
  socket.on('error', () => undefined);
  const first = new Promise<string>((resolve) => {
    socket.once('data', (bytes: Buffer) => resolve(bytes.toString('latin1')));
    socket.once('close', () => resolve(''));
  });
  return { socket, first };
}

async function greeting(server: TestServer, source: string): Promise<string> {
  const { socket, first } = knock(server, source);
  const text = await first;
  socket.destroy();
  return text;
}

const notNow = 'Not allowed at this time\r\n';

/** The end of a connection is known to the monitor a moment after its peer. */
async function penalised(server: TestServer, source: string): Promise<void> {
  const until = Date.now() + 10_000;
  while ((await greeting(server, source)) !== notNow) {
    assert.ok(Date.now() < until, `${source} is let in:\n${server.log()}`);
    await delay(50);
  }
}

function dropped(server: TestServer, source: string, reason: string): RegExp {
  const [from, on] = [source, '127.0.0.1'].map((address) => address.replaceAll('.', '\\.'));
  return new RegExp(
    `^drop connection #\\d+ from \\[${from}\\]:\\d+ on \\[${on}\\]:${server.port} penalty: ${reason}$`,
    'm',
  );
}

describe('PerSourcePenalties', { ...lab, ...(lab.skip === false ? { skip } : {}) }, () => {
  test('failures add up, hold beyond min, end by themselves, and are of one source', async () => {
    await using server = await startServer({
      config: ['UsePAM yes', 'PerSourcePenalties authfail:3 min:5 max:7', 'LogLevel VERBOSE'],
    });
    assert.equal((await failure(server, '127.0.0.2')).status, 255);
    await server.logged(
      /^srclimit_penalise: ipv4: new 127\.0\.0\.2\/32 deferred penalty of 3\.000 seconds for penalty: failed authentication$/m,
    );
    assert.equal((await login(server, '127.0.0.2')).text, 'in\n', 'one failure is below min');
    await failure(server, '127.0.0.2');
    await penalised(server, '127.0.0.2');
    await server.logged(dropped(server, '127.0.0.2', 'failed authentication'));
    await server.logged(
      /^srclimit_penalise: 127\.0\.0\.2\/32: activating ipv4 penalty of [56]\.\d{3} seconds for penalty: failed authentication$/m,
    );
    assert.equal((await login(server, '127.0.0.2')).status, 255);
    assert.equal((await login(server, '127.0.0.3')).text, 'in\n', 'another source');
    const until = Date.now() + 15_000;
    while ((await greeting(server, '127.0.0.2')) === notNow) {
      assert.ok(Date.now() < until, 'it never ends');
      await delay(100);
    }
    assert.equal((await login(server, '127.0.0.2')).text, 'in\n');
  });

  test('a login that succeeds after failures costs nothing', async () => {
    await using server = await startServer({
      config: ['UsePAM yes', 'PerSourcePenalties authfail:60 noauth:60 min:0'],
    });
    const both = ['-b', '127.0.0.2', '-i', stranger.file];
    for (let round = 0; round < 2; round++) {
      const outcome = await ssh(server, { key, user: 'alice', args: both }, 'echo in');
      assert.equal(outcome.text, 'in\n', outcome.stderr);
    }
  });

  test('each class has its own length and its words', async () => {
    await using server = await startServer({
      config: [
        ...['UsePAM yes', 'LoginGraceTime 3', 'LogLevel VERBOSE'],
        'PerSourcePenalties crash:91 authfail:92 noauth:93 invaliduser:94 grace-exceeded:95',
        'PerSourcePenalties refuseconnection:96 min:15',
        ...['Match User bob', 'RefuseConnection yes', 'Match all'],
      ],
    });
    const expect = async (source: string, seconds: number, words: string): Promise<void> => {
      // A knock that came too early would earn a penalty of its own.
      const address = source.replaceAll('.', '\\.');
      await server.logged(
        new RegExp(
          `^srclimit_penalise: ipv4: new ${address}/32 active penalty of ${seconds}\\.000 seconds for penalty: ${words}$`,
          'm',
        ),
      );
      assert.equal(await greeting(server, source), notNow);
      await server.logged(dropped(server, source, words));
    };
    await failure(server, '127.0.1.1');
    await expect('127.0.1.1', 92, 'failed authentication');
    const { socket, first } = knock(server, '127.0.1.2');
    assert.match(await first, /^SSH-2\.0-/);
    socket.destroy();
    await expect('127.0.1.2', 93, 'connections without attempting authentication');
    await failure(server, '127.0.1.3', 'nobody-has-this-name');
    await expect('127.0.1.3', 94, 'attempted authentication by invalid user');
    const waiting = knock(server, '127.0.1.4');
    await waiting.first;
    await new Promise((resolve) => waiting.socket.once('close', resolve));
    await expect('127.0.1.4', 95, 'exceeded LoginGraceTime');
    const refused = await login(server, '127.0.1.5', 'bob');
    assert.equal(refused.status, 255);
    assert.equal(refused.text, '');
    await server.logged(
      /^administratively prohibited connection for bob from 127\.0\.1\.5 port \d+$/m,
    );
    await expect('127.0.1.5', 96, 'connection prohibited by RefuseConnection');
    // A worker that dies while one source alone is in front of its login.
    const last = knock(server, '127.0.1.6');
    await last.first;
    for (const { pid } of server
      .processes()
      .filter(({ title }) => /^sshdesk: worker \d/.test(title))) {
      process.kill(pid, 'SIGKILL');
    }
    await server.logged(/^Connection closed by 127\.0\.1\.6 port \d+: its worker ended$/m);
    await expect('127.0.1.6', 91, 'caused crash');
  });

  test('a worker that dies with connections of several sources penalises none', async () => {
    await using server = await startServer({
      config: ['UsePAM yes', 'PerSourcePenalties crash:90 noauth:90 min:0'],
    });
    const sources = Array.from({ length: 6 }, (_, index) => `127.0.2.${index + 1}`);
    const knocks = sources.map((source) => knock(server, source));
    await Promise.all(knocks.map(({ first }) => first));
    const workers = server.processes().filter(({ title }) => /^sshdesk: worker \d/.test(title));
    for (const { pid } of workers) {
      process.kill(pid, 'SIGKILL');
    }
    await server.logged(/(its worker ended[^]*){6}/);
    assert.doesNotMatch(server.log(), /srclimit_penalise/);
  });

  test('PerSourceNetBlockSize makes one source of a network, PerSourcePenaltyExemptList none', async () => {
    await using server = await startServer({
      config: [
        'UsePAM yes',
        'PerSourcePenalties authfail:60 min:0 noauth:0',
        'PerSourceNetBlockSize 24',
        'PerSourcePenaltyExemptList 127.0.5.0/24,!127.0.5.9',
      ],
    });
    await failure(server, '127.0.4.1');
    await penalised(server, '127.0.4.200');
    assert.equal((await login(server, '127.0.3.1')).text, 'in\n');
    await failure(server, '127.0.5.1');
    await failure(server, '127.0.5.9');
    await penalised(server, '127.0.5.9');
    assert.equal((await login(server, '127.0.5.1')).text, 'in\n', 'exempt');
  });

  test('without a line they are on, with the values of OpenSSH 10.5; `yes` and `no` are heard', async () => {
    await using server = await startServer({
      config: ['UsePAM yes', 'PerSourcePenalties yes', 'LogLevel VERBOSE'],
    });
    await failure(server, '127.0.0.2');
    await server.logged(/new 127\.0\.0\.2\/32 deferred penalty of 5\.000 seconds/);
    for (let count = 0; count < 3; count++) {
      await failure(server, '127.0.0.2');
    }
    await penalised(server, '127.0.0.2');
    await using without = await startServer({ config: ['UsePAM yes'] });
    for (let count = 0; count < 8; count++) {
      await failure(without, '127.0.0.2');
    }
    assert.equal((await login(without, '127.0.0.2')).text, 'in\n');
  });
});

describe('PerSourceMaxStartups', lab, () => {
  test('so many of one source wait for their login, and others are let in', async () => {
    await using server = await startServer({
      config: ['UsePAM yes', 'PerSourceMaxStartups 2', 'PerSourceNetBlockSize 30:64'],
    });
    const waiting = ['127.0.0.4', '127.0.0.5'].map((source) => knock(server, source));
    for (const { first } of waiting) {
      assert.match(await first, /^SSH-2\.0-/);
    }
    assert.doesNotMatch(await greeting(server, '127.0.0.6'), /^SSH-/, 'the same network');
    assert.equal((await login(server, '127.0.0.8')).text, 'in\n');
    for (const { socket } of waiting) {
      socket.destroy();
    }
    const until = Date.now() + 10_000;
    while ((await login(server, '127.0.0.6')).text !== 'in\n') {
      assert.ok(Date.now() < until, 'the places are not given back');
    }
  });
});

describe('RefuseConnection', { ...lab, ...(lab.skip === false ? { skip } : {}) }, () => {
  test('outside a Match block it is for everybody, before anything is asked', async () => {
    await using server = await startServer({ config: ['UsePAM yes', 'RefuseConnection yes'] });
    const outcome = await login(server, '127.0.0.1');
    assert.equal(outcome.status, 255);
    assert.equal(outcome.text, '');
    assert.doesNotMatch(server.log(), /Accepted|Failed/);
  });

  test('Match Invalid-User turns names away that nobody has', async () => {
    await using server = await startServer({
      config: ['UsePAM yes', 'Match Invalid-User', 'RefuseConnection yes', 'Match all'],
    });
    assert.equal((await failure(server, '127.0.0.1', 'nobody-has-this-name')).status, 255);
    await server.logged(
      /^administratively prohibited connection for invalid user nobody-has-this-name from /m,
    );
    assert.equal((await login(server, '127.0.0.1')).text, 'in\n');
  });
});
