/**
 * CVE-2025-32728 and its like: each way in which forwarding can be forbidden, against each kind of
 * forwarding that there is. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { authorize, findUser, inLab, makeUser, run } from '../../support/lab.ts';
import {
  makeRawKey,
  no,
  payload,
  type RawKey,
  RawSsh,
  str,
  u32,
  yes,
} from '../../support/raw-ssh.ts';
import { serverKind, startServer, type TestServer } from '../../support/server.ts';
import { weaken } from '../../support/weakened.ts';

const lab = inLab(import.meta.url, 200_000);
const everything = [
  ...['UsePAM yes', 'AllowTcpForwarding yes', 'AllowStreamLocalForwarding yes'],
  ...['AllowAgentForwarding yes', 'X11Forwarding yes', 'GatewayPorts yes', 'MaxSessions 20'],
  'TrustedUserCAKeys /etc/ssh/incident-ca.pub',
];
const socketPath = '/tmp/incident.sock';
const listenPath = '/tmp/incident-listen.sock';

/** The way of asking, and what came of it; `refused` in every case where forwarding is off. */
type Way = (client: RawSsh) => Promise<'given' | 'refused'>;

async function openChannel(client: RawSsh, type: string, ...more: readonly Buffer[]) {
  client.send(payload(90, str(type), u32(40), u32(100_000), u32(32_768), ...more));
  return (await client.nextOf(91, 92))[0] === 91 ? 'given' : 'refused';
}
async function globalRequest(client: RawSsh, name: string, ...more: readonly Buffer[]) {
  client.send(payload(80, str(name), yes, ...more));
  return (await client.nextOf(81, 82))[0] === 81 ? 'given' : 'refused';
}
/** A request on a session whose answer is one thing, and what the command finds another. */
async function sessionRequest(
  client: RawSsh,
  variable: string,
  name: string,
  ...more: readonly Buffer[]
) {
  const channel = await client.openSession(41);
  client.send(payload(98, u32(channel), str(name), yes, ...more));
  const answer = (await client.nextOf(99, 100))[0];
  client.send(payload(98, u32(channel), str('exec'), yes, str(`printf '%s' "$${variable}"`)));
  let text = '';
  let isStarted = false;
  for (;;) {
    const bytes = await client.nextOf(94, 97, 99, 100);
    isStarted ||= bytes[0] === 99;
    if (bytes[0] === 94) {
      text += bytes.subarray(9).toString();
    } else if (bytes[0] === 97 || (bytes[0] === 100 && !isStarted)) {
      break;
    }
  }
  return answer === 99 || text !== '' ? 'given' : 'refused';
}

describe(
  'CVE-2025-32728: forwarding that is forbidden in one way is forbidden in each',
  lab,
  () => {
    const plain = makeRawKey();
    const restricted = makeRawKey();
    const each = makeRawKey();
    const certified = makeRawKey();
    const targets: Server[] = [];
    let reached = 0;
    let port = 0;
    let certificate: Buffer;
    const origin = [str('127.0.0.1'), u32(1)];

    const ways: Readonly<Record<string, Way>> = {
      'direct-tcpip': (client) =>
        openChannel(client, 'direct-tcpip', str('127.0.0.1'), u32(port), ...origin),
      'direct-tcpip to the desktop': (client) =>
        openChannel(client, 'direct-tcpip', str('rfb.sshdesk'), u32(5900), ...origin),
      'direct-streamlocal': (client) =>
        openChannel(client, 'direct-streamlocal@openssh.com', str(socketPath), str(''), u32(0)),
      'tcpip-forward': (client) => globalRequest(client, 'tcpip-forward', str('127.0.0.1'), u32(0)),
      'streamlocal-forward': (client) =>
        globalRequest(client, 'streamlocal-forward@openssh.com', str(listenPath)),
      tun: (client) => openChannel(client, 'tun@openssh.com', u32(1), u32(0x7fffffff)),
      agent: (client) => sessionRequest(client, 'SSH_AUTH_SOCK', 'auth-agent-req@openssh.com'),
      x11: (client) =>
        sessionRequest(
          client,
          'DISPLAY',
          'x11-req',
          ...[no, str('MIT-MAGIC-COOKIE-1'), str('00'.repeat(16)), u32(0)],
        ),
    };

    before(async () => {
      makeUser('alice');
      const alice = findUser('alice');
      run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', '/etc/ssh/incident-ca']);
      writeFileSync('/tmp/certified.pub', `${certified.line}\n`);
      // `clear`: none of the extensions that permit something.
      const options = ['-q', '-s', '/etc/ssh/incident-ca', '-I', 'x', '-n', 'alice', '-O', 'clear'];
      run('ssh-keygen', [...options, '/tmp/certified.pub']);
      const line = readFileSync('/tmp/certified-cert.pub', 'utf8');
      certificate = Buffer.from(line.split(' ')[1] as string, 'base64');
      authorize(alice, [
        plain.line,
        `restrict ${restricted.line}`,
        `no-port-forwarding,no-agent-forwarding,no-X11-forwarding ${each.line}`,
      ]);
      for (const where of [{ port: 0, host: '127.0.0.1' }, { path: socketPath }]) {
        const target = createServer((socket) => {
          reached++;
          socket.destroy();
        });
        await new Promise<void>((resolve) => target.listen(where, resolve));
        targets.push(target);
      }
      chmodSync(socketPath, 0o777);
      port = ((targets[0] as Server).address() as { port: number }).port;
    });
    after(() => {
      for (const target of targets) {
        target.close();
      }
    });

    /** Logs in with a certificate over `key`. */
    async function certifiedLogin(server: TestServer, key: RawKey): Promise<RawSsh> {
      const client = await RawSsh.shaken(server.port);
      await client.requestUserauth();
      const type = 'ssh-ed25519-cert-v01@openssh.com';
      const request = payload(
        50,
        ...[
          str('alice'),
          str('ssh-connection'),
          str('publickey'),
          yes,
          str(type),
          str(certificate),
        ],
      );
      const signed = Buffer.concat([str(client.sessionId as Buffer), request]);
      const signature = [str('ssh-ed25519'), str(sign(null, signed, key.privateKey))];
      client.send(Buffer.concat([request, str(Buffer.concat(signature))]));
      await client.nextOf(52);
      return client;
    }

    async function outcomes(logIn: () => Promise<RawSsh>): Promise<Record<string, string>> {
      const found: Record<string, string> = {};
      for (const [name, way] of Object.entries(ways)) {
        using client = await logIn();
        found[name] = await way(client);
      }
      return found;
    }
    const allRefused = Object.fromEntries(Object.keys(ways).map((name) => [name, 'refused']));

    test('without a restriction each of them is given, but tun (the test is right)', async () => {
      await using server = await startServer({ config: everything });
      const found = await outcomes(() => RawSsh.loggedIn(server.port, 'alice', plain));
      delete found['direct-tcpip to the desktop']; // a desktop may take long, or not be installed
      assert.deepEqual(found, {
        'direct-tcpip': 'given',
        'direct-streamlocal': 'given',
        'tcpip-forward': 'given',
        'streamlocal-forward': 'given',
        tun: 'refused',
        agent: 'given',
        x11: 'given',
      });
      assert.ok(reached >= 2);
    });

    test('CVE-2025-32728: without the check DisableForwarding covers nothing', {
      skip: serverKind === 'sshd' ? 'weakens sshdesk' : false,
    }, async () => {
      const root = weaken([
        {
          file: 'src/policy/grant.ts',
          check: 'return config.disableForwarding ? withoutForwarding(grant) : grant;',
          instead: 'return grant;',
        },
      ]);
      await using server = await startServer({
        config: ['DisableForwarding yes', ...everything],
        root,
      });
      using client = await RawSsh.loggedIn(server.port, 'alice', plain);
      assert.equal(await ways['direct-tcpip']?.(client), 'given');
    });

    for (const [name, config, logIn] of [
      [
        'DisableForwarding yes',
        ['DisableForwarding yes'],
        (server: TestServer) => RawSsh.loggedIn(server.port, 'alice', plain),
      ],
      [
        'each keyword by itself',
        [
          ...['AllowTcpForwarding no', 'AllowStreamLocalForwarding no', 'AllowAgentForwarding no'],
          'X11Forwarding no',
        ],
        (server: TestServer) => RawSsh.loggedIn(server.port, 'alice', plain),
      ],
      [
        'a key with restrict',
        [],
        (server: TestServer) => RawSsh.loggedIn(server.port, 'alice', restricted),
      ],
      [
        'a key with each option by itself',
        [],
        (server: TestServer) => RawSsh.loggedIn(server.port, 'alice', each),
      ],
      [
        'a certificate without extensions',
        [],
        (server: TestServer) => certifiedLogin(server, certified),
      ],
      [
        'DisableForwarding yes, and a key that permits',
        ['DisableForwarding yes'],
        (server: TestServer) => RawSsh.loggedIn(server.port, 'alice', each),
      ],
    ] as const) {
      test(`CVE-2025-32728: ${name} covers every kind`, {
        skip: serverKind === 'sshd' ? 'sshd 9.2 has this fault' : false,
      }, async () => {
        await using server = await startServer({ config: [...config, ...everything] });
        reached = 0;
        assert.deepEqual(await outcomes(() => logIn(server)), allRefused);
        assert.equal(reached, 0, 'something was connected');
        assert.ok(!existsSync(listenPath), 'a socket was made');
      });
    }
  },
);
