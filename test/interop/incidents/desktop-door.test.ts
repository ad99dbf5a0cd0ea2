/**
 * Opening a desktop counts as running a command: who may not run one does not reach its sockets by
 * way of forwarding either. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { readdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { desktopsDirectory, startDesktopServer } from '../../support/desktop-session.ts';
import { inLab, makeUser } from '../../support/lab.ts';
import { makeRawKey, payload, type RawKey, RawSsh, str, u32 } from '../../support/raw-ssh.ts';
import { serverKind } from '../../support/server.ts';

const lab = inLab(import.meta.url, 170_000);

/** What a socket says first, through direct-streamlocal; undefined: refused. */
async function heard(client: RawSsh, socket: string): Promise<string | undefined> {
  const fields = [u32(30), u32(100_000), u32(32_768), str(socket), str(''), u32(0)];
  client.send(payload(90, str('direct-streamlocal@openssh.com'), ...fields));
  const answer = await client.nextOf(91, 92);
  if (answer[0] === 92) {
    return undefined;
  }
  return (await client.nextOf(94, 96, 97)).subarray(9).toString('latin1');
}

describe('the sockets of a desktop', lab, () => {
  test('a forced command, restrict or PermitTTY no keeps a login off them, by any name of theirs', {
    skip: serverKind === 'sshd' ? 'sshd has no desktops' : false,
  }, async () => {
    const [plain, forced, noPty] = [makeRawKey(), makeRawKey(), makeRawKey()];
    makeUser('alice', {
      authorizedKeys: [
        plain.line,
        `command="cat" ${forced.line}`,
        `no-pty,command="cat" ${noPty.line}`,
      ],
    });
    await using server = await startDesktopServer('exec sleep 1000', {
      config: [
        ...['AllowTcpForwarding yes', 'AllowStreamLocalForwarding yes'],
        'StreamLocalBindUnlink yes',
      ],
    });
    const logIn = (key: RawKey) => RawSsh.loggedIn(server.port, 'alice', key);
    using owner = await logIn(plain);
    const channel = await owner.openSession();
    owner.send(payload(98, u32(channel), str('subsystem'), Buffer.of(1), str('rfb')));
    assert.match((await owner.nextOf(94)).subarray(9).toString('latin1'), /^RFB 003/);
    const [id = ''] = readdirSync(desktopsDirectory);
    const user = path.join(desktopsDirectory, id, 'user');
    const socket = (await owner.exec(`find ${user} -name 'rfb*' -type s`, 9)).trim();
    assert.match(socket, /rfb\.sock$/);
    symlinkSync(path.dirname(socket), '/tmp/other-name');
    const names = [
      socket,
      socket.replace('/run/', '/var/run/'),
      `/proc/self/root${socket}`,
      `/tmp/other-name/${path.basename(socket)}`,
      socket.replace('/user/', '/user/../user/./'),
    ];
    for (const name of names) {
      assert.match((await heard(owner, name)) ?? '', /^RFB 003/, `${name} is one`);
    }
    for (const key of [forced, noPty]) {
      for (const name of names) {
        using client = await logIn(key);
        assert.equal(await heard(client, name), undefined, name);
        // Nor is another socket put in its place.
        client.send(payload(80, str('streamlocal-forward@openssh.com'), Buffer.of(1), str(name)));
        assert.equal((await client.nextOf(81, 82))[0], 82, name);
      }
    }
  });
});
