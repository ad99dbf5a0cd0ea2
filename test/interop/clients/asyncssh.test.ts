/** AsyncSSH, driven by small programs of the kind that its users write. Runs in: test, in the lab. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe } from 'node:test';
import {
  can,
  EchoTarget,
  inLabWith,
  largeFile,
  passwordFile,
  python,
  type ProgramOptions,
  Stage,
  TestAgent,
} from '../../support/foreign-client.ts';

const lab = inLabWith(import.meta.url, 'asyncssh');

/** argv: port, file of known hosts, key file or `-`, what the program wants. */
const prelude = `
import asyncio, hashlib, sys
import asyncssh
port, known, keyfile = int(sys.argv[1]), sys.argv[2], sys.argv[3]
words = sys.argv[4:]
password = open('${passwordFile}').read().strip()
large = open('${largeFile}', 'rb').read()

def connect(**more):
    return asyncssh.connect('127.0.0.1', port, username='alice', known_hosts=known, config=None,
                            client_keys=[keyfile] if keyfile != '-' else None,
                            agent_path=more.pop('agent_path', None), login_timeout=15, **more)

async def back_and_forth(reader, writer, content):
    async def send():
        for at in range(0, len(content), 1 << 16):
            writer.write(content[at:at + (1 << 16)])
            await writer.drain()
        writer.write_eof()
    sending = asyncio.ensure_future(send())
    digest = hashlib.sha256()
    while True:
        data = await reader.read(1 << 16)
        if not data:
            break
        digest.update(data)
    await sending
    assert digest.digest() == hashlib.sha256(content).digest(), 'what came back is another'

async def main():
`;

describe('AsyncSSH', lab, () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.make();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  /** Runs the body of `main`; what it printed. */
  const says = async (
    body: string,
    words: readonly (string | number)[] = [],
    {
      keyFile = stage.ed25519.file,
      server = stage.server,
      ...options
    }: ProgramOptions & {
      keyFile?: string;
      server?: typeof stage.server;
    } = {},
  ): Promise<string> => {
    const args = [server.port, server.knownHosts, keyFile, ...words];
    const main = body.replaceAll(/^(?=.)/gm, '    ');
    const outcome = await python(`${prelude}${main}\nasyncio.run(main())\n`, args, options);
    assert.equal(outcome.status, 0, outcome.stderr);
    return outcome.text;
  };
  const whoami = `
async with connect() as conn:
    print((await conn.run('id -un', check=True)).stdout, end='')
`;

  can('key ed25519', 'logs in', async () => {
    assert.equal(await says(whoami), 'alice\n');
  });

  can('key rsa', 'logs in', async () => {
    assert.equal(await says(whoami, [], { keyFile: stage.rsa.file }), 'alice\n');
  });

  can('password', 'logs in', async () => {
    const body = whoami.replace(
      'connect()',
      "connect(password=password, preferred_auth='password')",
    );
    assert.equal(await says(body, [], { keyFile: '-' }), 'alice\n');
  });

  can('keyboard-interactive', 'answers the question of PAM', async () => {
    const body = `
class Answering(asyncssh.SSHClient):
    def kbdint_auth_requested(self):
        return ''
    def kbdint_challenge_received(self, name, instructions, lang, prompts):
        print(prompts)
        return [password for _ in prompts]
async with connect(client_factory=Answering, preferred_auth='keyboard-interactive') as conn:
    print((await conn.run('id -un', check=True)).stdout, end='')
`;
    const text = await says(body, [], { keyFile: '-' });
    assert.match(text, /^\[\('Password: ', False\)\]\n(?:\[\]\n)?alice\n$/);
  });

  can('command', 'gives the exit status and keeps stderr apart', async () => {
    const text = await says(`
async with connect() as conn:
    done = await conn.run('echo out; echo err >&2; exit 7')
    print(repr(done.stdout), repr(done.stderr), done.exit_status)
    killed = await conn.run('kill -TERM $$')
    print(killed.exit_signal[0])
`);
    assert.equal(text, "'out\\n' 'err\\n' 7\nTERM\n");
  });

  can('upload', '9 MiB by sftp arrive as they were', async () => {
    await says(`
async with connect() as conn, conn.start_sftp_client() as sftp:
    await sftp.put('${largeFile}', 'up')
`);
    assert.ok(readFileSync('/home/alice/up').equals(stage.large));
  });

  can('download', '9 MiB by sftp arrive as they are', async () => {
    await says(`
async with connect() as conn, conn.start_sftp_client() as sftp:
    await sftp.get('${largeFile}', '/tmp/got')
`);
    assert.ok(readFileSync('/tmp/got').equals(stage.large));
  });

  can('scp', 'copies there and back', async () => {
    await says(`
async with connect() as conn:
    await asyncssh.scp('${largeFile}', (conn, 'scp'))
    await asyncssh.scp((conn, 'scp'), '/tmp/scp')
`);
    assert.ok(readFileSync('/home/alice/scp').equals(stage.large));
    assert.ok(readFileSync('/tmp/scp').equals(stage.large));
  });

  can('sftp', 'walks a tree, globs, measures the file system, removes', async () => {
    const text = await says(`
async with connect() as conn, conn.start_sftp_client() as sftp:
    await sftp.makedirs('made/deep')
    for name in ('one', 'two'):
        async with sftp.open('made/deep/' + name, 'w') as file:
            await file.write(name * 10000)
    await sftp.posix_rename('made/deep/one', 'made/deep/two')
    await sftp.link('made/deep/two', 'made/hard')
    print(sorted(await sftp.glob('made/*/*')), (await sftp.stat('made/hard')).size)
    print((await sftp.statvfs('.')).bsize > 0)
    await sftp.rmtree('made')
    print(await sftp.exists('made'))
`);
    assert.equal(text, "['made/deep/two'] 30000\nTrue\nFalse\n");
  });

  can('rekey', 'by its own wish every MB, in the midst of both directions', async () => {
    const text = await says(`
asyncssh.set_log_level('DEBUG')
asyncssh.set_debug_level(1)
import logging
class Count(logging.Handler):
    times = 0
    def emit(self, record):
        self.times += 'Requesting key exchange' in record.getMessage()
count = Count()
logging.getLogger('asyncssh').addHandler(count)
async with connect(rekey_bytes=1 << 20) as conn:
    process = await conn.create_process('cat', encoding=None)
    await back_and_forth(process.stdout, process.stdin, large)
    done = await process.wait()
    print(done.exit_status, count.times)
`);
    const [, status, times] = /^(\d+) (\d+)\n$/.exec(text) ?? [];
    assert.equal(status, '0', text);
    assert.ok(Number(times) >= 5, `${times} times`);
  });

  can('rekeyed', 'goes along with the server, in the midst of both directions', async () => {
    const body = `
async with connect() as conn:
    process = await conn.create_process('cat', encoding=None)
    await back_and_forth(process.stdout, process.stdin, large)
    print((await process.wait()).exit_status)
`;
    assert.equal(await says(body, [], { server: await stage.rekeying() }), '0\n');
  });

  can('pty', 'has one of the size it asks for, and changes it', async () => {
    const text = await says(`
async with connect() as conn:
    process = await conn.create_process(
        'tty; stty size; echo $TERM; read x; stty size', term_type='vt100', term_size=(99, 33))
    for _ in range(3):
        print((await process.stdout.readline()).strip())
    process.change_terminal_size(50, 20)
    process.stdin.write('go\\n')
    print((await process.stdout.read()).replace(chr(13), ''), end='')
`);
    assert.match(text, /^\/dev\/pts\/\d+\n33 99\nvt100\ngo\n20 50\n$/);
  });

  can('many channels', '40 commands at once on one connection, ten at a time', async () => {
    const text = await says(`
async with connect() as conn:
    places = asyncio.Semaphore(10)
    async def one(at):
        async with places:
            return (await conn.run('echo %d' % at, check=True)).stdout.strip()
    print(','.join(await asyncio.gather(*[one(at) for at in range(40)])))
`);
    assert.equal(text, `${Array.from({ length: 40 }, (_, at) => at).join(',')}\n`);
  });

  can('-L', '9 MiB go through a forwarded port and come back', async () => {
    await using target = await EchoTarget.start();
    await says(
      `
async with connect() as conn:
    listener = await conn.forward_local_port('127.0.0.1', 0, '127.0.0.1', int(words[0]))
    reader, writer = await asyncio.open_connection('127.0.0.1', listener.get_port())
    await back_and_forth(reader, writer, large)
`,
      [target.port],
    );
  });

  can('-R', '9 MiB go through a port that the server chose and come back', async () => {
    await using target = await EchoTarget.start();
    await says(
      `
async with connect() as conn:
    listener = await conn.forward_remote_port('127.0.0.1', 0, '127.0.0.1', int(words[0]))
    reader, writer = await asyncio.open_connection('127.0.0.1', listener.get_port())
    await back_and_forth(reader, writer, large)
    listener.close()
    await listener.wait_closed()
`,
      [target.port],
    );
  });

  can('-L of sockets', '5 MiB go to a socket in the file system and come back', async () => {
    await says(`
async def echo(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
import os
async with connect() as conn:
    listener = await conn.forward_remote_path('/home/alice/far', '/tmp/near')
    near = await asyncio.start_unix_server(echo, '/tmp/near')
    reader, writer = await conn.open_unix_connection('/home/alice/far')
    await back_and_forth(reader, writer, large[:5 << 20])
    listener.close()
    await listener.wait_closed()
`);
  });

  can('-D', '5 MiB go through SOCKS and come back', async () => {
    await using target = await EchoTarget.start();
    await says(
      `
async with connect() as conn:
    listener = await conn.forward_socks('127.0.0.1', 0)
    reader, writer = await asyncio.open_connection('127.0.0.1', listener.get_port())
    writer.write(bytes([5, 1, 0]))
    assert await reader.readexactly(2) == bytes([5, 0])
    writer.write(bytes([5, 1, 0, 1, 127, 0, 0, 1]) + int(words[0]).to_bytes(2, 'big'))
    assert (await reader.readexactly(10))[1] == 0
    await back_and_forth(reader, writer, large[:5 << 20])
`,
      [target.port],
    );
  });

  can('agent', 'is forwarded and lists its key', async () => {
    await using agent = await TestAgent.start(stage.rsa);
    const text = await says(
      `
async with connect(agent_path=words[0], agent_forwarding=True) as conn:
    print((await conn.run('ssh-add -l')).stdout, end='')
`,
      [agent.socket],
    );
    assert.match(text, /3072 SHA256:\S+ rsa@test \(RSA\)/);
  });
});
