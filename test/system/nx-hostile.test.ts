/**
 * Whoever has the shared key of the account `nx`, and a worker that was taken over under it: nothing is
 * to be had but the dialogue, and behind a login the desktops of whoever logged in. Runs in: test, as
 * root, in the lab.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { type HostileServer, startHostile } from '../support/hostile-server.ts';
import { checkout, inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { loginLines, nxGreeting, startNxServer } from '../support/nx-account.ts';
import { Fields, makeRawKey, no, payload, RawSsh, str, u32, yes } from '../support/raw-ssh.ts';
import type { TestServer } from '../support/server.ts';
import { weaken } from '../support/weakened.ts';

const lab = inLab(import.meta.url, 110_000);
const secret = 'oldpw-Xy7';
const raw = makeRawKey();

/** Type and fields of every request that a session can be asked for. */
const sessionRequests: readonly (readonly [string, ...Buffer[]])[] = [
  ['pty-req', str('xterm'), u32(80), u32(24), u32(0), u32(0), str(Buffer.from([0]))],
  ['env', str('LANG'), str('C')],
  ['auth-agent-req@openssh.com'],
  ['x11-req', no, str('MIT-MAGIC-COOKIE-1'), str('00'.repeat(16)), u32(0)],
  ['window-change', u32(80), u32(24), u32(0), u32(0)],
  ['signal', str('TERM')],
  ['break', u32(0)],
  ['subsystem', str('sftp')],
  ['subsystem', str('display')],
  ['subsystem', str('rfb')],
  ['exec', str('id')],
  ['exec', str('nxserver --status')],
  ['exec', str('host=x; id')],
  ['exec', str('host=x\nid')],
  ['exec', str('/bin/sh')],
  ['xon-xoff', no],
  ['what@example.com'],
];
const channels: readonly (readonly [string, ...Buffer[]])[] = [
  ['session'],
  ['direct-tcpip', str('rfb.sshdesk'), u32(5900), str('127.0.0.1'), u32(1)],
  ['direct-tcpip', str('127.0.0.1'), u32(22), str('127.0.0.1'), u32(1)],
  ['direct-streamlocal@openssh.com', str('/run/sshdesk/control.sock'), str(''), u32(0)],
  ['forwarded-tcpip', str('127.0.0.1'), u32(1), str('127.0.0.1'), u32(1)],
  ['auth-agent@openssh.com'],
  ['x11', str('127.0.0.1'), u32(1)],
  ['tun@openssh.com', u32(1), u32(0)],
];
const globalRequests: readonly (readonly [string, ...Buffer[]])[] = [
  ['tcpip-forward', str('127.0.0.1'), u32(0)],
  ['cancel-tcpip-forward', str('127.0.0.1'), u32(1)],
  ['streamlocal-forward@openssh.com', str('/tmp/nx-forward')],
  ['hostkeys-prove-00@openssh.com', str(Buffer.alloc(4))],
];

describe('the account nx, used by somebody hostile', lab, () => {
  let key: TestKey;
  let server: TestServer;
  const clients: ChildProcess[] = [];

  before(async () => {
    key = makeKey('ed25519');
    makeUser('alice', { password: secret });
    server = await startNxServer([key.line, raw.line], {
      config: ['LogLevel VERBOSE', 'X11Forwarding yes', 'MaxAuthTries 3', 'LoginGraceTime 4'],
    });
  });
  after(async () => {
    clients.forEach((client) => client.kill('SIGKILL'));
    await server?.stop();
  });

  const leaders = () => server.processes().filter(({ title }) => title.includes('leader'));

  async function openSession(client: RawSsh): Promise<number> {
    client.send(payload(90, str('session'), u32(7), u32(100_000), u32(30_000)));
    const opened = new Fields(await client.nextOf(91));
    opened.u32();
    return opened.u32();
  }
  async function answerTo(client: RawSsh, channel: number, request: string, fields: Buffer[]) {
    client.send(payload(98, u32(channel), str(request), yes, ...fields));
    return (await client.nextOf(99, 100))[0] === 99;
  }
  async function textOf(client: RawSsh, isEnough: (text: string) => boolean): Promise<string> {
    let text = '';
    while (!isEnough(text)) {
      const data = new Fields(await client.nextOf(94));
      data.u32();
      text += data.str().toString('latin1');
    }
    return text;
  }

  test('nothing but one session with one shell, whatever is asked for, in front of it and in it', async () => {
    const client = await RawSsh.loggedIn(server.port, 'nx', raw);
    const channel = await openSession(client);
    const refuseAll = async (): Promise<void> => {
      for (const [request, ...fields] of sessionRequests) {
        assert.equal(await answerTo(client, channel, request, fields), false, request);
      }
      for (const [type, ...fields] of channels) {
        client.send(payload(90, str(type), u32(8), u32(1000), u32(1000), ...fields));
        await client.nextOf(92);
      }
      for (const [request, ...fields] of globalRequests) {
        client.send(payload(80, str(request), yes, ...fields));
        await client.nextOf(82);
      }
    };
    await refuseAll();
    assert.equal(await answerTo(client, channel, 'shell', []), true);
    assert.equal(await textOf(client, (text) => text.length >= nxGreeting.length), nxGreeting);
    await refuseAll();
    for (const [again, ...fields] of [['shell'], ['exec', str('nxserver')]] as const) {
      assert.equal(await answerTo(client, channel, again, fields), false, again);
    }
    // Until somebody logs in there is no leader, and no process but those of the daemon.
    assert.deepEqual(leaders(), []);
    client.send(payload(94, u32(channel), str(loginLines('alice', secret))));
    await textOf(client, (text) => text.endsWith('user: alice\nNX> 105 '));
    await refuseAll();
    assert.equal(leaders().length, 1);
    client.socket.destroy();
    await eventually('its leader ends', () => leaders().length === 0);
    assert.doesNotMatch(server.log(), /monitor: refused|internal error/);
  });

  for (const command of ['', 'nxserver', 'host=desk1']) {
    test(`exec of ${JSON.stringify(command)} is the dialogue too`, async () => {
      const client = await RawSsh.loggedIn(server.port, 'nx', raw);
      const channel = await openSession(client);
      assert.equal(await answerTo(client, channel, 'exec', [str(command)]), true);
      assert.equal(await textOf(client, (text) => text.length >= nxGreeting.length), nxGreeting);
      client.socket.destroy();
    });
  }

  test('only publickey is offered; everything else is refused and counted by MaxAuthTries', async () => {
    const client = await RawSsh.shaken(server.port);
    await client.requestUserauth();
    const head = [str('nx'), str('ssh-connection')];
    const methods: string[] = [];
    const ask = async (...fields: Buffer[]): Promise<number> => {
      client.send(payload(50, ...head, ...fields));
      const bytes = await client.next();
      if (bytes?.[0] === 51) {
        methods.push(new Fields(bytes).str().toString());
      }
      return bytes?.[0] ?? 0;
    };
    assert.equal(await ask(str('none')), 51);
    assert.equal(await ask(str('password'), no, str(secret)), 51);
    assert.equal(await ask(str('keyboard-interactive'), str(''), str('')), 51);
    assert.equal(await ask(str('hostbased')), 1, 'the third is the last');
    assert.deepEqual(methods, ['publickey', 'publickey', 'publickey']);
    await server.logged(/maximum authentication attempts exceeded for nx from/);
  });

  test('who only has the key is ended by LoginGraceTime, in the midst of the dialogue', async () => {
    const client = await RawSsh.loggedIn(server.port, 'nx', raw);
    const channel = await openSession(client);
    assert.equal(await answerTo(client, channel, 'shell', []), true);
    client.send(payload(94, u32(channel), str('login\nalice\n')));
    await textOf(client, (text) => text.endsWith('NX> 102 Password: '));
    while ((await client.next(10_000)) !== undefined) {
      // What it says in the end is for the log.
    }
    await server.logged(/Timeout before authentication for 127\.0\.0\.1/);
    assert.deepEqual(leaders(), []);
  });

  describe('a worker that was taken over', () => {
    const words = (port: number): string[] => [
      ...['-F', 'none', '-N', '-p', String(port), '-i', key.file, '-o', 'IdentitiesOnly=yes'],
      ...['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'],
      ...['-o', 'LogLevel=ERROR', '-o', 'BatchMode=yes', 'nx@127.0.0.1'],
    ];
    interface Report {
      readonly nx: string;
      readonly isBehind: boolean;
      readonly isOfDesktops: boolean;
      readonly outcome: string;
      readonly accepted?: boolean;
      readonly isOver: boolean;
      readonly probe: string;
    }

    async function attack(
      root: string,
      isEnough: (report: Report) => boolean = () => false,
    ): Promise<readonly Report[]> {
      mkdirSync('/etc/sshdesk', { recursive: true });
      writeFileSync('/tmp/nx-keys', `${key.line}\n`);
      writeFileSync(
        '/etc/sshdesk/sshdesk_config',
        'NXLegacyAccount yes\nNXKeyFile /tmp/nx-keys\nWorkers 2\n',
      );
      const hostile: HostileServer = await startHostile(root, 'nx-requests.ts', [
        'PasswordAuthentication yes',
        'LoginGraceTime 0',
      ]);
      try {
        const { requests } = await hostile.reported((one) => 'requests' in one);
        // Two workers have their share each.
        const wanted = 4 * Number(requests);
        const own: ChildProcess[] = [];
        const reports = (): readonly Report[] =>
          hostile.reports().filter((one) => 'nx' in one) as unknown as readonly Report[];
        for (let begun = 0; begun < wanted && !reports().some(isEnough); begun += 8) {
          for (let one = 0; one < 8; one++) {
            own.push(spawn('ssh', words(hostile.port), { stdio: 'ignore' }));
          }
          const until = Math.min(begun + 8, wanted);
          await eventually(`${until} reports`, () => reports().length >= until, 20_000);
          own.splice(0).forEach((client) => client.kill('SIGKILL'));
        }
        return reports();
      } finally {
        await hostile.stop();
      }
    }

    test('has one login a connection, and the desktops of whoever logged in', async () => {
      const isGained = ({ nx, isBehind, outcome }: Report): boolean =>
        nx === 'session-open' && isBehind && outcome === 'answered';
      const removal = {
        file: 'src/monitor/handshake-rows.ts',
        check: 'throw new MonitorRefusal(`${name} on a connection of the account nx`);',
        instead: 'return row.handle(connection, values);',
      };
      const weak = await attack(weaken([removal]), isGained);
      assert.ok(weak.some(isGained), 'without the check a session is had');
      const reports = await attack(checkout);
      for (const { nx, isBehind, isOfDesktops, outcome, isOver, accepted, probe } of reports) {
        const what = `${nx} ${isBehind ? 'behind a login' : 'in the dialogue'}: ${outcome}`;
        const isFirstLogin = nx === 'nx-login' && !isBehind;
        const isOpen = isFirstLogin || (isOfDesktops && isBehind);
        assert.equal(isOver, !isOpen, what);
        assert.notEqual(probe, 'answered', what);
        if (!isOpen) {
          assert.notEqual(outcome, 'answered', what);
        }
        assert.notEqual(accepted, true, what);
      }
      assert.ok(
        reports.some(
          ({ nx, isBehind, outcome }) =>
            nx === 'desktop-list' && isBehind && outcome === 'answered',
        ),
        'the login itself is one',
      );
    });
  });
});
