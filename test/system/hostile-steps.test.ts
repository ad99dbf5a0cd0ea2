/**
 * A worker that was taken over leaves out factors and questions, changes users and asks for more than
 * there is: nothing opens, the connection ends and the log says why. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type HostileServer, startHostile } from '../support/hostile-server.ts';
import { checkout, inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';

const lab = inLab(import.meta.url);
const refused = 2;
const disconnect = 4;

describe('a worker that leaves steps out', lab, () => {
  let server: HostileServer;
  let key: TestKey;
  const sockets: Socket[] = [];

  before(async () => {
    key = makeKey('ed25519');
    for (const name of ['alice', 'bob', 'carol']) {
      makeUser(name, { password: 'secret', authorizedKeys: [key.line] });
    }
    server = await startHostile(checkout, 'skip-steps.ts', [
      ...['MaxAuthTries 3', 'MaxSessions 3', 'KbdInteractiveAuthentication yes'],
      ...['Match User alice', 'AuthenticationMethods publickey,password'],
    ]);
  });
  after(async () => {
    for (const socket of sockets) {
      socket.destroy();
    }
    await server?.stop();
  });

  /** What the next connection is used for. */
  const played = async (attack: string): Promise<readonly string[]> => {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => {}); // being thrown out is what is wanted
    sockets.push(socket);
    const found = await server.reported((one) => one['attack'] === attack);
    return found['outcomes'] as string[];
  };
  const over = 'session-open: no such connection';

  test('the second factor alone is no login', async () => {
    assert.deepEqual(await played('the second factor alone'), [
      'userauth-begin: answered 2',
      `check-password: answered ${refused}`,
      'session-open: refused',
    ]);
    await server.logged(/refused session-open in phase preauth/);
  });

  test('the user is the first one', async () => {
    assert.deepEqual(await played('another user'), [
      'userauth-begin: answered 2',
      'userauth-begin: refused',
      over,
    ]);
    await server.logged(/refused userauth-begin a second time/);
  });

  test('none is tried once', async () => {
    assert.deepEqual(await played('none twice'), [
      'userauth-begin: answered 2',
      `try-none: answered ${refused}`,
      'try-none: refused',
      over,
    ]);
    await server.logged(/refused try-none a second time/);
  });

  test('answers to no question, and attempts of nobody', async () => {
    assert.deepEqual(await played('answers to no question'), [
      'userauth-begin: answered 2',
      'answer-keyboard-interactive: refused',
      over,
    ]);
    await server.logged(/refused answers where nothing was asked/);
    assert.deepEqual(await played('nobody at all'), ['check-password: refused', over]);
    await server.logged(/refused an attempt before userauth-begin/);
  });

  test('behind the last try there is none', async () => {
    assert.deepEqual(await played('more tries than there are'), [
      'userauth-begin: answered 2',
      `refuse-method: answered ${refused}`,
      `refuse-method: answered ${refused}`,
      `refuse-method: answered ${disconnect}`,
      'check-password: refused',
      over,
    ]);
    await server.logged(/refused an attempt after the last one/);
  });

  test('a key without an exchange of keys is refused', async () => {
    const outcomes = await played('a signature without an exchange');
    assert.match(outcomes[1] ?? '', new RegExp(`^check-key: (refused|answered ${refused})$`));
    assert.match(outcomes[2] ?? '', /^session-open: (refused|no such connection)$/);
  });

  test('sessions beyond MaxSessions are refused, and none of them opened', async () => {
    const client = spawn(
      'ssh',
      [
        ...['-F', 'none', '-p', String(server.port), '-i', key.file, '-o', 'IdentitiesOnly=yes'],
        ...['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'],
        ...['-o', 'LogLevel=ERROR', '-o', 'BatchMode=yes', 'carol@127.0.0.1', 'sleep 60'],
      ],
      { stdio: 'ignore' },
    );
    const { outcomes } = await server.reported((one) => one['attack'] === 'sessions');
    client.kill('SIGKILL');
    // The honest one is the first.
    assert.deepEqual(outcomes, [
      ...['answered', 'answered'],
      ...['open failed', 'open failed', 'open failed', 'open failed'],
    ]);
  });

  test('nobody was let in but the honest login', () => {
    assert.equal(server.log().match(/^Accepted [a-z-]+ for /gm)?.length, 1);
  });
});
