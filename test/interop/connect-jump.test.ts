/**
 * `sshdesk connect -J` and ProxyJump: logins on the way, each with its own host key, over Debian's
 * sshd; loops, changed keys and refusals.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { run } from '../support/child.ts';
import { DebianSshd, freePort } from '../support/debian-sshd.ts';

const cli = join(import.meta.dirname, '../support/connect-cli.ts');
const isRoot = process.getuid?.() === 0;
const { SSH_AUTH_SOCK: _agent, ...environment } = process.env;
const hostKeyExit = 6;
const emptyList = 'HELLO NXSERVER - Version 3.5.0-1 - OSS\nNX> 103 Welcome to: h user: u\nNX> 105 ';

/** A desktop whose list is empty: the shortest thing that shows a login. */
async function displayIn(folder: string): Promise<string> {
  const script = join(folder, 'display.mjs');
  await writeFile(
    script,
    `process.stdout.write(${JSON.stringify(emptyList)});
process.stdin.once('data', () => process.stdout.write('L\\nNX> 127 Available sessions: \\n\\nNX> 148 x\\nNX> 105 '));
process.stdin.on('end', () => process.exit(0));`,
  );
  return `${process.execPath} ${script}`;
}

const keyOf = async (path: string): Promise<string> =>
  (await readFile(`${path}.pub`, 'utf8')).split(' ').slice(0, 2).join(' ');

describe('connect goes through others', {
  skip: isRoot ? false : 'needs root',
  timeout: 120_000,
}, () => {
  let folder: string;
  let first: DebianSshd;
  let second: DebianSshd;
  let target: DebianSshd;
  let config: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sshdesk-jump-'));
    first = await DebianSshd.start();
    second = await DebianSshd.start();
    target = await DebianSshd.start({ subsystems: { display: await displayIn(folder) } });
    config = join(folder, 'config');
    await writeFile(
      config,
      [
        ...blockOf('first', first),
        ...blockOf('second', second),
        ...blockOf('target', target),
        ...['Host *', 'User root', 'IdentitiesOnly yes', 'StrictHostKeyChecking accept-new'],
        `UserKnownHostsFile ${join(folder, 'known_hosts')}`,
        '',
      ].join('\n'),
    );
  });
  after(async () => {
    for (const server of [first, second, target]) await server?.[Symbol.asyncDispose]();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  const blockOf = (name: string, { port, userKey }: DebianSshd): string[] => [
    `Host ${name}`,
    ...['HostName 127.0.0.1', `Port ${port}`, `IdentityFile ${userKey}`],
  ];
  const list = (...args: string[]) =>
    run(process.execPath, [cli, 'connect', '-F', config, '--batch', '--list', '--json', ...args], {
      env: environment,
    });

  test('one host, and two in their order, each with its own key, port and host key', async () => {
    for (const hosts of ['first', 'first,second', 'ssh://root@second,root@first']) {
      const { code, stdout, stderr } = await list('-J', hosts, 'target');
      assert.equal(code, 0, stderr);
      assert.deepEqual(JSON.parse(stdout), []);
    }
    const known = await readFile(join(folder, 'known_hosts'), 'utf8');
    for (const { port } of [first, second, target])
      assert.ok(known.includes(`[127.0.0.1]:${port} `));
    assert.match(target.log, /Accepted publickey/);
  });

  test('ProxyJump of the configuration, of a host in between too, and none', async () => {
    const own = join(folder, 'jumping');
    const block = 'Host target\nProxyJump second\nHost second\nProxyJump first\n';
    await writeFile(own, `${block}Host *\nProxyJump first\nInclude ${config}\n`);
    const before = first.log.length;
    const { code, stderr } = await list('-F', own, 'target');
    assert.equal(code, 2, 'two files are a mistake');
    assert.match(stderr, /-F is given more than once/);
    const args = [cli, 'connect', '-F', own, '--batch', '--list', 'target'];
    const jumped = await run(process.execPath, args, { env: environment });
    assert.equal(jumped.code, 0, jumped.stderr);
    assert.match(first.log.slice(before), /Accepted publickey/);
    const straight = await list('-o', 'ProxyJump=none', 'target');
    assert.equal(straight.code, 0, straight.stderr);
  });

  test('hosts that send to each other, and too many, are refused with exit 2', async () => {
    const loop = join(folder, 'loop');
    await writeFile(
      loop,
      `Host first\nProxyJump second\nHost second\nProxyJump first\nInclude ${config}\n`,
    );
    const args = [cli, 'connect', '-F', loop, '--batch', '--list', 'first'];
    const { code, stderr } = await run(process.execPath, args, { env: environment });
    assert.equal(code, 2, stderr);
    assert.match(stderr, /ProxyJump: more than 8 hosts on the way/);
  });

  test('a host in between whose key has changed ends it before the target hears of it', async () => {
    const changed = join(folder, 'changed');
    const lines = `[127.0.0.1]:${first.port} ${await keyOf(target.hostKey('ed25519'))}\n`;
    await writeFile(join(folder, 'known_changed'), lines);
    await writeFile(
      changed,
      `Host first\nUserKnownHostsFile ${join(folder, 'known_changed')}\nInclude ${config}\n`,
    );
    const before = target.log.length;
    const args = [cli, 'connect', '-F', changed, '--batch', '-J', 'first', '--list', 'target'];
    const { code, stderr } = await run(process.execPath, args, { env: environment });
    assert.equal(code, hostKeyExit, stderr);
    assert.match(stderr, /HAS CHANGED/);
    assert.equal(target.log.length, before);
  });

  test('what the last host cannot reach, or will not, is exit 255 with its words', async () => {
    const port = await freePort();
    const gone = await list('-J', 'first', `127.0.0.1:${port}`);
    assert.equal(gone.code, 255);
    assert.match(gone.stderr, new RegExp(`port ${port} through first: .*[Cc]onnect`));
    await using closed = await DebianSshd.start({ config: ['AllowTcpForwarding no'] });
    const own = join(folder, 'closed');
    await writeFile(own, `${blockOf('closed', closed).join('\n')}\nHost *\nInclude ${config}\n`);
    const args = [cli, 'connect', '-F', own, '--batch', '-J', 'closed', '--list', 'target'];
    const refused = await run(process.execPath, args, { env: environment });
    assert.equal(refused.code, 255, refused.stderr);
    assert.match(refused.stderr, /through closed: .*prohibited/);
  });
});
