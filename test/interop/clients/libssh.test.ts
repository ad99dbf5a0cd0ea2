/**
 * libssh, called by Debian's Python through ctypes: no small program of Debian 12 uses it. Runs in:
 * test, in the lab.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { after, before, describe } from 'node:test';
import {
  can,
  EchoTarget,
  foreignClients,
  inLabWith,
  largeFile,
  passwordFile,
  python,
  Stage,
} from '../../support/foreign-client.ts';
import { freePort } from '../../support/server.ts';

const lab = inLabWith(import.meta.url, 'libssh');

/** argv: library, port, file of known hosts, key file or `-`, what the program wants. */
const prelude = `
import ctypes as c, hashlib, socket, sys, threading
lib = c.CDLL(sys.argv[1])
port, known, keyfile = int(sys.argv[2]), sys.argv[3], sys.argv[4]
words = sys.argv[5:]
password = open('${passwordFile}').read().strip().encode()
large = open('${largeFile}', 'rb').read()
for name in ('ssh_new', 'ssh_channel_new', 'ssh_channel_accept_forward', 'sftp_new', 'sftp_open',
             'ssh_userauth_kbdint_getprompt', 'ssh_get_error', 'sftp_stat', 'ssh_channel_open_forward_port'):
    getattr(lib, name).restype = c.c_void_p
lib.sftp_write.restype = lib.sftp_read.restype = c.c_ssize_t
OK, EOF_, AGAIN, INFO = 0, -127, -2, 3
HOST, PORT, USER, KNOWN, GLOBAL_KNOWN, REKEY_DATA, PROCESS = 0, 1, 4, 8, 35, 39, 36

def ok(session, answer, wanted=0):
    if answer != wanted:
        raise SystemExit('%r: %s' % (answer, c.string_at(lib.ssh_get_error(session)).decode()))

def opened(rekey=None):
    session = c.c_void_p(lib.ssh_new())
    for option, value in ((HOST, b'127.0.0.1'), (USER, b'alice'), (KNOWN, known.encode()),
                          (GLOBAL_KNOWN, b'/dev/null')):
        ok(session, lib.ssh_options_set(session, option, c.c_char_p(value)))
    ok(session, lib.ssh_options_set(session, PORT, c.byref(c.c_uint(port))))
    ok(session, lib.ssh_options_set(session, PROCESS, c.byref(c.c_bool(False))))
    if rekey:
        ok(session, lib.ssh_options_set(session, REKEY_DATA, c.byref(c.c_uint64(rekey))))
    ok(session, lib.ssh_connect(session))
    ok(session, lib.ssh_session_is_known_server(session), 1)
    return session

def connect(**more):
    session = opened(**more)
    key = c.c_void_p()
    ok(session, lib.ssh_pki_import_privkey_file(keyfile.encode(), None, None, None, c.byref(key)))
    ok(session, lib.ssh_userauth_publickey(session, None, key))
    return session

def channel_of(session):
    channel = c.c_void_p(lib.ssh_channel_new(session))
    ok(session, lib.ssh_channel_open_session(channel))
    return channel

def read_all(channel, is_stderr=0):
    pieces, buffer = [], c.create_string_buffer(1 << 16)
    while True:
        count = lib.ssh_channel_read(channel, buffer, len(buffer), is_stderr)
        if count <= 0:
            return b''.join(pieces)
        pieces.append(buffer.raw[:count])

def run(session, command):
    channel = channel_of(session)
    ok(session, lib.ssh_channel_request_exec(channel, command.encode()))
    out, err = read_all(channel), read_all(channel, 1)
    return out, err, lib.ssh_channel_get_exit_status(channel)

def back_and_forth(session, channel, content):
    # One thread: libssh's sessions are not for two.
    digest, buffer, at, is_over = hashlib.sha256(), c.create_string_buffer(1 << 18), 0, False
    while not is_over:
        room = lib.ssh_channel_window_size(channel)
        if at < len(content) and room > 0:
            piece = content[at:at + min(room, 1 << 16)]
            sent = lib.ssh_channel_write(channel, piece, len(piece))
            if sent < 0:
                ok(session, sent)
            at += sent
            if at == len(content):
                lib.ssh_channel_send_eof(channel)
        while True:
            wait = 0 if at < len(content) and lib.ssh_channel_window_size(channel) > 0 else 50
            count = lib.ssh_channel_read_timeout(channel, buffer, len(buffer), 0, wait)
            if count > 0:
                digest.update(buffer.raw[:count])
                continue
            is_over = bool(lib.ssh_channel_is_eof(channel)) and at == len(content)
            break
    assert digest.digest() == hashlib.sha256(content).digest(), 'what came back is another'
`;

describe('libssh', lab, () => {
  let stage: Stage;
  const [library = ''] = globSync(foreignClients.libssh.file);
  before(async () => {
    stage = await Stage.make();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  /** Runs `body` behind the prelude; what it printed. */
  const says = async (
    body: string,
    words: readonly (string | number)[] = [],
    { keyFile = stage.ed25519.file, server = stage.server } = {},
  ): Promise<string> => {
    const outcome = await python(prelude + body, [
      ...[library, server.port, server.knownHosts, keyFile, ...words],
    ]);
    assert.equal(outcome.status, 0, outcome.stderr);
    return outcome.text;
  };

  can('key ed25519', 'logs in', async () => {
    assert.equal(await says("print(run(connect(), 'id -un')[0])"), "b'alice\\n'\n");
  });

  can('key rsa', 'logs in with rsa-sha2', async () => {
    const text = await says("print(run(connect(), 'id -un')[0])", [], { keyFile: stage.rsa.file });
    assert.equal(text, "b'alice\\n'\n");
  });

  can('password', 'logs in', async () => {
    const text = await says(`
session = opened()
ok(session, lib.ssh_userauth_password(session, None, password))
print(run(session, 'id -un')[0])
`);
    assert.equal(text, "b'alice\\n'\n");
  });

  can('keyboard-interactive', 'answers the question of PAM', async () => {
    const text = await says(`
session = opened()
while True:
    answer = lib.ssh_userauth_kbdint(session, None, None)
    if answer != INFO:
        break
    for at in range(lib.ssh_userauth_kbdint_getnprompts(session)):
        echo = c.c_char()
        print(c.string_at(lib.ssh_userauth_kbdint_getprompt(session, at, c.byref(echo))), echo.value)
        lib.ssh_userauth_kbdint_setanswer(session, at, password)
ok(session, answer)
print(run(session, 'id -un')[0])
`);
    assert.equal(text, "b'Password: ' b'\\x00'\nb'alice\\n'\n");
  });

  can('command', 'gives the exit status and keeps stderr apart', async () => {
    const text = await says("print(run(connect(), 'echo out; echo err >&2; exit 7'))");
    assert.equal(text, "(b'out\\n', b'err\\n', 7)\n");
  });

  can('upload', '9 MiB arrive as they were', async () => {
    await says(`
session = connect()
channel = channel_of(session)
ok(session, lib.ssh_channel_request_exec(channel, b'cat > up'))
at = 0
while at < len(large):
    at += lib.ssh_channel_write(channel, large[at:at + 100000], min(100000, len(large) - at))
lib.ssh_channel_send_eof(channel)
read_all(channel)
ok(session, lib.ssh_channel_get_exit_status(channel))
`);
    assert.ok(readFileSync('/home/alice/up').equals(stage.large));
  });

  can('download', '9 MiB arrive as they are', async () => {
    await says(`
out, err, status = run(connect(), 'cat ${largeFile}')
assert (out == large, err, status) == (True, b'', 0)
`);
  });

  can('sftp', 'puts and gets', async () => {
    await says(`
session = connect()
sftp = c.c_void_p(lib.sftp_new(session))
ok(session, lib.sftp_init(sftp))
file = c.c_void_p(lib.sftp_open(sftp, b'sftp', 0o1101, 0o640))
assert file.value, 'cannot be opened'
for at in range(0, len(large), 32000):
    piece = large[at:at + 32000]
    assert lib.sftp_write(file, piece, len(piece)) == len(piece)
ok(session, lib.sftp_close(file))
file = c.c_void_p(lib.sftp_open(sftp, b'sftp', 0, 0))
pieces, buffer = [], c.create_string_buffer(32000)
while (count := lib.sftp_read(file, buffer, len(buffer))) > 0:
    pieces.append(buffer.raw[:count])
ok(session, count)
assert b''.join(pieces) == large
`);
    assert.ok(readFileSync('/home/alice/sftp').equals(stage.large));
  });

  can('rekey', 'by its own wish every MB, in the midst of both directions', async () => {
    const text = await says(`
session = connect(rekey=1 << 20)
channel = channel_of(session)
ok(session, lib.ssh_channel_request_exec(channel, b'cat'))
back_and_forth(session, channel, large)
print(lib.ssh_channel_get_exit_status(channel))
`);
    assert.equal(text, '0\n');
  });

  can('rekeyed', 'goes along with the server, in the midst of both directions', async () => {
    const body = `
session = connect()
channel = channel_of(session)
ok(session, lib.ssh_channel_request_exec(channel, b'cat'))
back_and_forth(session, channel, large)
print(lib.ssh_channel_get_exit_status(channel))
`;
    assert.equal(await says(body, [], { server: await stage.rekeying() }), '0\n');
  });

  can('pty', 'has one of the size it asks for', async () => {
    const text = await says(`
session = connect()
channel = channel_of(session)
ok(session, lib.ssh_channel_request_pty_size(channel, b'vt100', 99, 33))
ok(session, lib.ssh_channel_request_exec(channel, b'tty; stty size; echo $TERM'))
print(read_all(channel).decode().replace(chr(13), ''), end='')
`);
    assert.match(text, /^\/dev\/pts\/\d+\n33 99\nvt100\n$/);
  });

  can('-L', '9 MiB go through a direct-tcpip channel and come back', async () => {
    await using target = await EchoTarget.start();
    await says(
      `
session = connect()
channel = c.c_void_p(lib.ssh_channel_new(session))
ok(session, lib.ssh_channel_open_forward(channel, b'127.0.0.1', int(words[0]), b'127.0.0.1', 1))
back_and_forth(session, channel, large)
`,
      [target.port],
    );
  });

  can('-R', '9 MiB go through a forwarded port and come back', async () => {
    await says(
      `
session = connect()
ok(session, lib.ssh_channel_listen_forward(session, b'127.0.0.1', int(words[0]), None))
def far():
    plain = socket.create_connection(('127.0.0.1', int(words[0])), 15)
    while data := plain.recv(1 << 16):
        plain.sendall(data)
    plain.shutdown(socket.SHUT_WR)
thread = threading.Thread(target=far, daemon=True)
thread.start()
channel = c.c_void_p(lib.ssh_channel_accept_forward(session, 15000, None))
assert channel.value, 'nobody came'
back_and_forth(session, channel, large)
`,
      [await freePort()],
    );
  });
});
