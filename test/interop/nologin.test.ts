/**
 * /etc/nologin without PAM: it keeps users out of their desktops too, whichever door they take; the
 * rest is compared in session-settings-differential.test.ts. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);

describe('/etc/nologin without PAM', lab, () => {
  let key: TestKey;
  let server: TestServer;
  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    server = await startServer({ kind: 'sshdesk', config: ['UsePAM no'] });
  });
  after(async () => {
    rmSync('/etc/nologin', { force: true });
    await server?.stop();
  });

  test('the desktop subsystems say why and exit 254; the desktop’s name opens no channel', async () => {
    writeFileSync('/etc/nologin', 'closed for repairs\n');
    for (const subsystem of ['rfb', 'display']) {
      const { status, text, stderr } = await ssh(server, { key, args: ['-s'] }, subsystem);
      assert.deepEqual([status, text, stderr], [254, '', 'closed for repairs\n'], subsystem);
    }
    const direct = await ssh(server, { key, args: ['-W', 'rfb.sshdesk:5900'] });
    assert.notEqual(direct.status, 0);
    assert.equal(direct.text, '');
    assert.match(direct.stderr, /stdio forwarding failed/);
    await server.logged(/User alice not allowed because \/etc\/nologin exists/);
  });

  test('a session of a connection that was there before is refused as well, and none when it is gone', async () => {
    const control = ['-o', 'ControlPath=/tmp/control-%p'];
    rmSync('/etc/nologin', { force: true });
    const master = await ssh(server, { key, args: ['-f', '-N', '-M', ...control] });
    assert.equal(master.status, 0, master.stderr);
    assert.equal((await ssh(server, { key, args: control }, 'echo in')).text, 'in\n');
    writeFileSync('/etc/nologin', 'closed\n');
    assert.equal((await ssh(server, { key, args: control }, 'echo in')).status, 254);
    rmSync('/etc/nologin');
    assert.equal((await ssh(server, { key, args: control }, 'echo in')).text, 'in\n');
    await ssh(server, { key, args: ['-O', 'exit', ...control] });
  });
});
