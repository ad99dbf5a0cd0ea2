/** Paramiko, driven by small programs of the kind that its users write. Runs in: test, in the lab. */
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
import { freePort } from '../../support/server.ts';

const lab = inLabWith(import.meta.url, 'paramiko');

/** argv: port, file of known hosts, key file or `-`, what the program wants. */
const prelude = `
import hashlib, socket, sys, threading, time
import paramiko
port, known, keyfile = int(sys.argv[1]), sys.argv[2], sys.argv[3]
words = sys.argv[4:]
password = open('${passwordFile}').read().strip()
large = open('${largeFile}', 'rb').read()

def connect(**more):
    client = paramiko.SSHClient()
    client.load_host_keys(known)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.connect('127.0.0.1', port, 'alice', look_for_keys=False, allow_agent=False,
                   key_filename=keyfile if keyfile != '-' else None, timeout=15,
                   banner_timeout=15, auth_timeout=15, **more)
    return client

def back_and_forth(channel, content):
    def send():
        channel.sendall(content)
        channel.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    digest = hashlib.sha256()
    while True:
        data = channel.recv(1 << 16)
        if not data:
            break
        digest.update(data)
    sender.join(30)
    assert digest.digest() == hashlib.sha256(content).digest(), 'what came back is another'
`;

describe('Paramiko', lab, () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.make();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  /** Runs `body` behind the prelude; what it printed. */
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
    const outcome = await python(prelude + body, args, options);
    assert.equal(outcome.status, 0, outcome.stderr);
    return outcome.text;
  };
  const whoami = `
client = connect()
print(client.exec_command('id -un')[1].read().decode(), end='')
client.close()
`;

  can('key ed25519', 'logs in', async () => {
    assert.equal(await says(whoami), 'alice\n');
  });

  can('key rsa', 'logs in', async () => {
    assert.equal(await says(whoami, [], { keyFile: stage.rsa.file }), 'alice\n');
  });

  can('password', 'logs in', async () => {
    const body = whoami.replace('connect()', 'connect(password=password)');
    assert.equal(await says(body, [], { keyFile: '-' }), 'alice\n');
  });

  can('keyboard-interactive', 'answers the question of PAM', async () => {
    const server = await stage.onlyDialogue();
    const body = `
transport = paramiko.Transport(('127.0.0.1', port))
transport.start_client(timeout=15)
asked = []
def answer(title, instructions, fields):
    asked.extend(fields)
    return [password for _ in fields]
print(transport.auth_interactive('alice', answer), asked)
session = transport.open_session()
session.exec_command('id -un')
print(session.makefile().read().decode(), end='')
transport.close()
`;
    const text = await says(body, [], { keyFile: '-', server });
    assert.equal(text, "[] [('Password: ', False)]\nalice\n");
  });

  can('command', 'gives the exit status and keeps stderr apart', async () => {
    const body = `
client = connect()
_, out, err = client.exec_command('echo out; echo err >&2; exit 7')
print(out.read(), err.read(), out.channel.recv_exit_status())
client.close()
`;
    assert.equal(await says(body), "b'out\\n' b'err\\n' 7\n");
  });

  can('upload', '9 MiB by sftp arrive as they were', async () => {
    await says(`
client = connect()
client.open_sftp().put('${largeFile}', 'up')
client.close()
`);
    assert.ok(readFileSync('/home/alice/up').equals(stage.large));
  });

  can('download', '9 MiB by sftp arrive as they are', async () => {
    await says(`
client = connect()
client.open_sftp().get('${largeFile}', '/tmp/got')
client.close()
`);
    assert.ok(readFileSync('/tmp/got').equals(stage.large));
  });

  can('sftp', 'reads ahead, seeks, lists, renames, changes times, removes', async () => {
    const text = await says(`
client = connect()
sftp = client.open_sftp()
sftp.mkdir('made')
with sftp.open('made/one', 'wb') as file:
    file.set_pipelined(True)
    for _ in range(100):
        file.write(b'0123456789' * 1000)
with sftp.open('made/one', 'rb') as file:
    file.prefetch()
    file.seek(999995)
    print(file.read())
    print(file.stat().st_size)
sftp.posix_rename('made/one', 'made/two')
sftp.utime('made/two', (1000, 2000))
sftp.symlink('two', 'made/three')
print(sorted(sftp.listdir('made')), sftp.readlink('made/three'), sftp.stat('made/two').st_mtime)
try:
    sftp.open('/etc/shadow')
except PermissionError as error:
    print('refused')
sftp.remove('made/two')
sftp.remove('made/three')
sftp.rmdir('made')
client.close()
`);
    assert.equal(text, "b'56789'\n1000000\n['three', 'two'] two 2000\nrefused\n");
  });

  can('rekey', 'by its own wish every MB, in the midst of both directions', async () => {
    const text = await says(`
client = connect()
transport = client.get_transport()
transport.packetizer.REKEY_BYTES = 1 << 20
transport.packetizer.REKEY_PACKETS = 1 << 30
times = 0
send_kex_init = transport._send_kex_init
def counted():
    global times
    times += 1
    send_kex_init()
transport._send_kex_init = counted
session = transport.open_session()
session.exec_command('cat')
back_and_forth(session, large)
print(session.recv_exit_status(), times)
client.close()
`);
    const [, status, times] = /^(\d+) (\d+)\n$/.exec(text) ?? [];
    assert.equal(status, '0', text);
    assert.ok(Number(times) >= 5, `${times} times`);
  });

  can('rekeyed', 'goes along with the server, in the midst of both directions', async () => {
    const body = `
client = connect()
session = client.get_transport().open_session()
session.exec_command('cat')
back_and_forth(session, large)
print(session.recv_exit_status())
client.close()
`;
    assert.equal(await says(body, [], { server: await stage.rekeying() }), '0\n');
  });

  can('pty', 'has one of the size it asks for', async () => {
    const text = await says(`
client = connect()
session = client.get_transport().open_session()
session.get_pty('vt100', 99, 33)
session.exec_command('tty; stty size; echo $TERM')
print(session.makefile().read().decode().replace(chr(13), ''), end='')
client.close()
`);
    assert.match(text, /^\/dev\/pts\/\d+\n33 99\nvt100\n$/);
  });

  can('-L', '9 MiB go through a direct-tcpip channel and come back', async () => {
    await using target = await EchoTarget.start();
    await says(
      `
client = connect()
channel = client.get_transport().open_channel(
    'direct-tcpip', ('127.0.0.1', int(words[0])), ('127.0.0.1', 1))
back_and_forth(channel, large)
client.close()
`,
      [target.port],
    );
  });

  can('-R', '9 MiB go through a forwarded port and come back', async () => {
    const text = await says(
      `
client = connect()
transport = client.get_transport()
chosen = transport.request_port_forward('127.0.0.1', int(words[0]))
def echo():
    channel = transport.accept(15)
    while True:
        data = channel.recv(1 << 16)
        if not data:
            break
        channel.sendall(data)
    channel.shutdown_write()
threading.Thread(target=echo, daemon=True).start()
plain = socket.create_connection(('127.0.0.1', chosen), 15)
back_and_forth(plain, large)
transport.cancel_port_forward('127.0.0.1', chosen)
print(chosen)
client.close()
`,
      [await freePort()],
    );
    assert.match(text, /^\d+\n$/);
  });

  can('agent', 'is forwarded and lists its key', async () => {
    await using agent = await TestAgent.start(stage.rsa);
    const text = await says(
      `
from paramiko.agent import AgentRequestHandler
client = connect()
session = client.get_transport().open_session()
handler = AgentRequestHandler(session)
session.exec_command('ssh-add -l')
print(session.makefile().read().decode(), end='')
handler.close()
client.close()
`,
      [],
      { environment: { SSH_AUTH_SOCK: agent.socket } },
    );
    assert.match(text, /3072 SHA256:\S+ rsa@test \(RSA\)/);
  });
});
