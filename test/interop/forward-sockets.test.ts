/** Forwarding of Unix sockets with Debian's ssh, both ways. In the lab. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { findUser, inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { freePort, serverKind, startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';
import {
  firstRoundTrip,
  roundTrip,
  type Service,
  startService,
  startTunnel,
} from '../support/tunnel.ts';

const lab = inLab(import.meta.url);

describe('Unix sockets', lab, () => {
  let server: TestServer;
  let key: TestKey;
  let restricted: TestKey;
  let echo: Service;
  /** The user's. */
  let folder = '';
  before(async () => {
    key = makeKey('ed25519');
    restricted = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line, `restrict ${restricted.line}`] });
    folder = mkdtempSync('/tmp/sockets-');
    const { uid, gid } = findUser('alice');
    chownSync(folder, uid, gid);
    echo = await startService({ path: path.join(folder, 'echo') });
    chmodSync(path.join(folder, 'echo'), 0o777);
    server = await startServer({ config: ['UsePAM yes', 'LogLevel VERBOSE'] });
  });
  after(async () => {
    await echo?.[Symbol.asyncDispose]();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const place = (name: string): string => path.join(folder, name);
  /** What came back through a tunnel; nothing where its channel was refused. */
  const heard = async (port: number): Promise<string> => {
    try {
      return (await firstRoundTrip({ host: '127.0.0.1', port }, 'x')).toString();
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ECONNRESET');
      return '';
    }
  };
  const serve = (name: string, more: readonly string[] = []) =>
    startTunnel(server, { key, args: ['-R', `${place(name)}:${place('echo')}`, ...more] });
  const refuses = async (at: TestServer, with_: TestKey, spec: string): Promise<boolean> => {
    const args = ['-R', spec, '-o', 'ExitOnForwardFailure=yes'];
    return (await ssh(at, { key: with_, args }, 'true')).status === 255;
  };

  test('-L to a socket of the far side', async () => {
    const port = await freePort();
    await using _tunnel = startTunnel(server, {
      key,
      args: ['-L', `127.0.0.1:${port}:${place('echo')}`],
    });
    const to = { host: '127.0.0.1', port };
    assert.equal((await firstRoundTrip(to, 'hello')).toString(), 'hello');
    const data = randomBytes(1_000_000);
    assert.ok((await roundTrip(to, data)).equals(data));
  });

  test('-L from a socket to a socket', async () => {
    await using _tunnel = startTunnel(server, {
      key,
      args: ['-L', `${place('near')}:${place('echo')}`],
    });
    assert.equal((await firstRoundTrip({ path: place('near') }, 'x')).toString(), 'x');
  });

  test('a socket that the user may not open is refused, as is one that is not there', async () => {
    await using closed = await startService({ path: place('closed') });
    chmodSync(place('closed'), 0o600); // root's
    for (const name of ['closed', 'nowhere']) {
      const port = await freePort();
      await using _tunnel = startTunnel(server, {
        key,
        args: ['-L', `127.0.0.1:${port}:${place(name)}`],
      });
      assert.equal(await heard(port), '', name);
    }
    assert.equal(closed.count, 0);
  });

  test('-R makes a socket of the user, 0600, and serves it', async () => {
    await using _tunnel = serve('far');
    assert.equal((await firstRoundTrip({ path: place('far') }, 'back')).toString(), 'back');
    const { uid, mode } = statSync(place('far'));
    assert.deepEqual([uid, mode & 0o777], [findUser('alice').uid, 0o600]);
    const data = randomBytes(1_000_000);
    assert.ok((await roundTrip({ path: place('far') }, data)).equals(data));
  });

  test('the socket is removed with the connection and when it is cancelled', {
    skip: serverKind === 'sshd' ? 'sshd leaves it' : false,
  }, async () => {
    {
      await using _tunnel = serve('gone');
      await firstRoundTrip({ path: place('gone') }, 'x');
    }
    await eventually('the end of the socket', () => !existsSync(place('gone')));
    const control = place('control');
    await using _master = startTunnel(server, { key, args: ['-M', '-S', control] });
    await eventually('the master', () => existsSync(control));
    const spec = ['-R', `${place('cancelled')}:${place('echo')}`];
    const tell = (order: string) =>
      ssh(server, { key, args: ['-S', control, '-O', order, ...spec] });
    assert.equal((await tell('forward')).status, 0);
    assert.equal((await roundTrip({ path: place('cancelled') }, 'x')).toString(), 'x');
    assert.equal((await tell('cancel')).status, 0);
    await eventually('the end of the socket', () => !existsSync(place('cancelled')));
  });

  test('what has taken the name of the socket meanwhile is left alone', {
    skip: serverKind === 'sshd' ? 'sshd removes nothing' : false,
  }, async () => {
    const base = await server.settled();
    {
      await using _tunnel = serve('replaced');
      await firstRoundTrip({ path: place('replaced') }, 'x');
      rmSync(place('replaced'));
      writeFileSync(place('replaced'), 'precious');
    }
    assert.deepEqual(await server.leftovers(base), []);
    assert.equal(existsSync(place('replaced')), true);
  });

  test('a name that is taken is refused; StreamLocalBindUnlink takes it', async () => {
    writeFileSync(place('taken'), 'x');
    assert.equal(await refuses(server, key, `${place('taken')}:${place('echo')}`), true);
    assert.equal(statSync(place('taken')).isFile(), true);
    await using other = await startServer({
      config: ['UsePAM yes', 'StreamLocalBindUnlink yes', 'StreamLocalBindMask 0111'],
    });
    await using _tunnel = startTunnel(other, {
      key,
      args: ['-R', `${place('taken')}:${place('echo')}`],
    });
    await eventually('a socket', () => statSync(place('taken')).isSocket());
    assert.equal((await firstRoundTrip({ path: place('taken') }, 'x')).toString(), 'x');
    assert.equal(statSync(place('taken')).mode & 0o777, 0o666);
  });

  test('it is the user who makes it: where he may not, nothing is made', async () => {
    const roots = mkdtempSync('/tmp/roots-');
    chmodSync(roots, 0o755);
    symlinkSync(roots, place('link'));
    for (const target of [
      path.join(roots, 'a'),
      path.join(place('link'), 'b'),
      `/${'x'.repeat(120)}`,
    ]) {
      assert.equal(await refuses(server, key, `${target}:${place('echo')}`), true, target);
      assert.equal(existsSync(target), false);
    }
    rmSync(roots, { recursive: true });
  });

  test('AllowStreamLocalForwarding, DisableForwarding and restrict', async () => {
    assert.equal(await refuses(server, restricted, `${place('r')}:${place('echo')}`), true);
    for (const [config, opens, listens] of [
      ['AllowStreamLocalForwarding no', false, false],
      ['AllowStreamLocalForwarding local', true, false],
      ['AllowStreamLocalForwarding remote', false, true],
      ['DisableForwarding yes', false, false],
      ['PermitOpen none', false, true],
      ['PermitOpen *:*', true, true],
      ['AllowTcpForwarding no', false, false],
      ['AllowTcpForwarding remote', false, true],
      ['AllowTcpForwarding local', true, false],
      ['PermitListen none', true, true],
    ] as const) {
      await using other = await startServer({ config: ['UsePAM yes', config] });
      const name = place(`policy-${config.replaceAll(/\W/g, '-')}`);
      assert.equal(await refuses(other, key, `${name}:${place('echo')}`), !listens, config);
      const port = await freePort();
      const args = ['-L', `127.0.0.1:${port}:${place('echo')}`];
      await using _tunnel = startTunnel(other, { key, args });
      assert.equal(await heard(port), opens ? 'x' : '', config);
      if (!opens) {
        await other.logged(
          /refused streamlocal port forward: originator 127\.0\.0\.1 port \d+, target \/tmp\/sockets-|Received request to connect to path \/tmp\/sockets-\S+, but the request was denied/,
        );
      }
    }
  });
});
