/**
 * `sshdesk connect` and a server that does what it may not: channels that nobody asked for, more than
 * a window, answers to nothing, texts for the terminal. Runs in: test.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import ssh2, { type Connection, type ServerChannel } from 'ssh2';
import { Child } from '../support/child.ts';
import { ecdsaHostKey } from '../support/scripted-ssh-server.ts';
import { SshAgent } from '../support/ssh-agent.ts';

const cli = join(import.meta.dirname, '../support/connect-cli.ts');

/** Of the package's server, what sends a message by itself. */
interface Raw {
  readonly _protocol: {
    channelData(recipient: number, data: Buffer): void;
    channelOpenConfirm(recipient: number, sender: number, window: number, packet: number): void;
    requestSuccess(data?: Buffer): void;
    openssh_authAgent(sender: number, window: number, packet: number): void;
  };
  readonly _chanMgr: { add(answer: (error?: Error) => void): number };
}

type Script = (channel: ServerChannel, connection: Connection & Raw) => void | Promise<void>;

describe('connect and a hostile server', { timeout: 60_000 }, () => {
  let folder: string;
  let server: InstanceType<typeof ssh2.Server>;
  let script: Script = () => undefined;
  let forwardReply: Buffer | null = null;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sshdesk-hostile-'));
    server = new ssh2.Server({ hostKeys: [ecdsaHostKey()] }, (connection) => {
      connection.on('error', () => undefined);
      connection.on('authentication', (context) => context.accept());
      connection.on('request', (_accept, reject) => {
        if (forwardReply === null) reject?.();
        else (connection as Connection & Raw)._protocol.requestSuccess(forwardReply);
      });
      connection.on('session', (accept) => {
        accept().on('subsystem', (acceptSubsystem) => {
          const channel = acceptSubsystem();
          channel.on('error', () => undefined);
          void script(channel, connection as Connection & Raw);
        });
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  after(async () => {
    server?.close();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  const start = (args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Child =>
    new Child(
      process.execPath,
      [
        ...[cli, 'connect', '-F', 'none', '--batch', '-s', 'probe'],
        ...['-o', 'StrictHostKeyChecking=accept-new'],
        ...['-o', `UserKnownHostsFile=${join(folder, 'known_hosts')}`],
        ...['-o', 'ServerAliveInterval=0', '-o', 'ExitOnForwardFailure=no', ...args],
        ...['-p', String((server.address() as AddressInfo).port), 'someone@127.0.0.1'],
      ],
      { env: { ...process.env, ...env } },
    );

  test('every channel that nobody asked for is refused, the agent’s without -A', async () => {
    await using agent = await SshAgent.start();
    const answers = Promise.withResolvers<readonly boolean[]>();
    script = async (channel, connection) => {
      const asked = (open: (answer: (error?: Error) => void) => void): Promise<boolean> =>
        new Promise((resolve) => {
          open((error) => resolve(error === undefined));
        });
      answers.resolve([
        await asked((answer) => connection.forwardOut('localhost', 22, '192.0.2.1', 9, answer)),
        await asked((answer) => connection.openssh_forwardOutStreamLocal('/tmp/x', answer)),
        await asked((answer) => connection.x11('192.0.2.1', 9, answer)),
        await asked((answer) => {
          const number = connection._chanMgr.add(answer);
          connection._protocol.openssh_authAgent(number, 1 << 20, 1 << 15);
        }),
      ]);
      channel.exit(0);
      channel.close();
    };
    const child = start(['-a'], agent.environment);
    assert.deepEqual(await answers.promise, [false, false, false, false]);
    assert.equal((await child.finished).code, 0);
  });

  const broken: readonly (readonly [string, Script])[] = [
    [
      'more than the window',
      (channel, { _protocol: protocol }) => {
        const id = (channel as unknown as { outgoing: { id: number } }).outgoing.id;
        for (let sent = 0; sent < 400; sent += 1) protocol.channelData(id, Buffer.alloc(32_000));
      },
    ],
    [
      'data for a channel that is not open',
      (_channel, { _protocol: protocol }) => {
        protocol.channelData(77, Buffer.from('x'));
      },
    ],
    [
      'a confirmation of nothing',
      (_channel, { _protocol: protocol }) => {
        protocol.channelOpenConfirm(77, 1, 1, 1);
      },
    ],
  ];
  for (const [what, does] of broken) {
    test(`${what} ends the connection with 255, said once`, async () => {
      script = does;
      await using child = start();
      // Nobody reads what comes: the window is all that may be held.
      child.process.stdout?.pause();
      const { code, stderr } = await finishedUnread(child);
      assert.equal(code, 255);
      assert.equal(stderr.match(/the server breaks the protocol/g)?.length, 1);
    });
  }

  test('a port that is not named, and answers to no question, are no fault of ours', async () => {
    forwardReply = Buffer.alloc(0);
    script = (channel, { _protocol: protocol }) => {
      for (let sent = 0; sent < 100; sent += 1) protocol.requestSuccess();
      channel.exit(3);
      channel.close();
    };
    const { code, stderr } = await start(['-R', '0:localhost:1']).finished;
    assert.equal(code, 3);
    assert.match(stderr, /does not say which port/);
    forwardReply = null;
  });

  test('what a server says of its program is shown harmlessly', async () => {
    script = (channel) => {
      (channel.exit as (name: string, core: boolean, text: string) => void)(
        'KILL',
        false,
        '\u001b]0;owned\u0007\u001b[2J',
      );
      channel.close();
    };
    const { code, stderr } = await start().finished;
    assert.equal(code, 255);
    assert.match(stderr, /ended by signal KILL/);
    assert.ok(!stderr.includes('\u001b'));
  });
});

/** Its stdout is only read once it has ended. */
async function finishedUnread(child: Child): Promise<{ code: number | null; stderr: string }> {
  const [code] = (await once(child.process, 'exit')) as [number | null];
  child.process.stdout?.resume();
  const { stderr } = await child.finished;
  return { code, stderr };
}
