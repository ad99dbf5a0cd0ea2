/**
 * Incidents of local users against a manager that runs as root: its socket, and places that were
 * made before it came. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { describe, test } from 'node:test';
import { inLab, makeUser } from '../../support/lab.ts';
import { MemoryWatch } from '../../support/memory.ts';
import { makeRawKey, RawSsh } from '../../support/raw-ssh.ts';
import { serverKind, startServer } from '../../support/server.ts';

const lab = inLab(import.meta.url, 120_000);
const megabyte = 1024 * 1024;
const skip = serverKind === 'sshd' ? 'sshd has no such socket' : false;
const control = '/run/sshdesk/control.sock';

/** Runs a python program as alice; its output. */
function asAlice(program: string): string {
  const { status, stdout, stderr } = spawnSync(
    'su',
    ['-s', '/bin/sh', '-c', 'exec python3 -', 'alice'],
    {
      input: program,
      encoding: 'utf8',
      timeout: 40_000,
    },
  );
  assert.equal(status, 0, stderr);
  return stdout;
}

const speak = `
import os, socket, json
def say(data, wait=2.0):
    s = socket.socket(socket.AF_UNIX); s.settimeout(wait); s.connect('${control}')
    got = b''
    try:
        for at in range(0, len(data), 65536):
            s.sendall(data[at:at + 65536])
        s.shutdown(socket.SHUT_WR)
        while True:
            more = s.recv(65536)
            if not more: break
            got += more
    except OSError:
        pass
    s.close()
    return got
`;

describe('a local user against the daemon', lab, () => {
  const key = makeRawKey();

  test('CVE-2022-23613: lengths, binary and endless lines on the control socket do no harm', {
    skip,
  }, async () => {
    makeUser('alice', { authorizedKeys: [key.line] });
    await using server = await startServer({ config: ['UsePAM yes'] });
    asAlice(`${speak}say(b'{"action":"list"}\\n')`); // pools grow to their working size first
    using watch = new MemoryWatch(server);
    const answers = asAlice(`${speak}
sizes = []
for data in [b'', b'\\n' * 100000, b'\\0' * 1000000, b'\\xff' * 1000000, b'\\x00\\x00\\x00\\x04' * 1000,
             b'\\xff\\xff\\xff\\xff' + os.urandom(100000), b'{' * 5000000, b'[' * 60000 + b'\\n',
             b'"' + b'x' * 20000000, b'{"action":"' + b'list' * 100000 + b'"}\\n',
             b'{"action":"list","which":' + b'1' * 100 + b'}\\n', os.urandom(3000000)]:
    sizes.append(len(say(data)))
print(json.dumps([max(sizes), say(b'{"action":"list"}\\n').decode()]))
`);
    const [largest, list] = JSON.parse(answers) as [number, string];
    assert.ok(largest < 2 * megabyte, `${largest} bytes of answers`);
    assert.deepEqual(JSON.parse(list), { is: 'done', desktops: [] });
    assert.ok(await watch.isFlat(32 * megabyte), `${watch.peakBytes} bytes more`);
    assert.ok(watch.areAllAlive);
    assert.doesNotMatch(server.log(), /internal error|control socket:/);
  });

  test('CVE-2020-4044: nobody but root makes, takes or replaces what is in /run/sshdesk', {
    skip,
  }, async () => {
    await using server = await startServer({ config: ['UsePAM yes'] });
    const tried = asAlice(`
import os, socket
where = '/run/sshdesk'
def attempt(what, *how):
    try:
        what(*how)
        print('done', what.__name__, *how)
    except OSError:
        pass
def bind(path):
    socket.socket(socket.AF_UNIX).bind(path)
for name in [x for x in os.listdir(where)] + ['new']:
    path = os.path.join(where, name)
    attempt(os.unlink, path); attempt(os.rename, path, '/tmp/taken'); attempt(bind, path)
    attempt(os.symlink, '/etc/passwd', path + 'x'); attempt(os.chmod, path, 0o777)
attempt(os.rename, where, '/run/other'); attempt(bind, where + '/desktops/x')
attempt(os.mkdir, where + '/desktops/x')
`);
    assert.equal(tried, '');
    assert.equal(lstatSync('/run/sshdesk').uid, 0);
    using client = await RawSsh.loggedIn(server.port, 'alice', key);
    assert.equal(await client.exec('echo on'), 'on\n');
  });

  for (const [name, prepare] of [
    ['a directory of his own', "os.mkdir('/tmp/.X11-unix', 0o755)"],
    [
      'a link into his home',
      "os.mkdir('/home/alice/x'); os.symlink('/home/alice/x', '/tmp/.X11-unix')",
    ],
    ['a file', "open('/tmp/.X11-unix', 'w').close()"],
  ] as const) {
    test(`CVE-2020-4044: ${name} in place of /tmp/.X11-unix stops no login and gets no socket`, {
      skip,
    }, async () => {
      rmSync('/tmp/.X11-unix', { recursive: true, force: true });
      asAlice(`import os\n${prepare}\n`);
      await using server = await startServer({ config: ['UsePAM yes'] });
      using client = await RawSsh.loggedIn(server.port, 'alice', key);
      assert.equal(await client.exec('echo on'), 'on\n');
      const found = lstatSync('/tmp/.X11-unix');
      if (found.isDirectory()) {
        assert.deepEqual([found.uid, found.mode & 0o7777], [0, 0o1777], 'it is root’s now');
      } else {
        assert.deepEqual(
          readdirSync('/home/alice').includes('x') ? readdirSync('/home/alice/x') : [],
          [],
        );
      }
      client.close();
      rmSync('/tmp/.X11-unix', { recursive: true, force: true });
      rmSync('/home/alice/x', { recursive: true, force: true });
    });
  }
});
