/**
 * Incidents of other servers in front of the login: messages that a state machine took too early,
 * prefix truncation, probes of scanners, counts that were believed. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { describe } from 'node:test';
import { assertEnded, incidentScene, numbersOf, type Site, trace } from '../../support/incident.ts';
import { inLab } from '../../support/lab.ts';
import { MemoryWatch } from '../../support/memory.ts';
import {
  byte,
  no,
  payload,
  type RawOptions,
  RawSsh,
  str,
  u32,
  yes,
} from '../../support/raw-ssh.ts';
import { serverKind } from '../../support/server.ts';

const lab = inLab(import.meta.url, 240_000);
const megabyte = 1024 * 1024;

describe('in front of the login', lab, () => {
  const { incident, key } = incidentScene({
    removals: [
      {
        file: 'src/ssh/userauth/service.ts',
        check: 'throw new ProtocolError(`message ${number} in the midst of authentication`);',
        instead: 'return;',
      },
      {
        file: 'src/ssh/transport/server-transport.ts',
        check: 'if (this.#isFirstExchange && this.#engine.isStrict) {',
        instead: 'if (this.#isClosed) {',
      },
    ],
  });

  const stages = {
    'behind the keys': (site: Site) => site.shaken(),
    'within userauth': (site: Site) => site.asking(),
  };

  /** Opens a channel and runs a command without being anybody; what of it was answered. */
  async function gained(client: RawSsh): Promise<readonly number[]> {
    client.send(payload(90, str('session'), u32(0), u32(1 << 20), u32(32768)));
    client.send(payload(98, u32(0), str('exec'), yes, str(`touch ${trace}`)));
    const ending = await client.ending(60, 3_000);
    if (serverKind === 'sshdesk') {
      assertEnded(ending, 2);
    }
    return numbersOf(ending).filter((number) => number === 52 || number >= 80);
  }

  for (const [stage, reach] of Object.entries(stages)) {
    incident(
      `CVE-2018-10933: USERAUTH_SUCCESS from the client is no login, ${stage}`,
      async (site) => {
        using client = await reach(site);
        client.send(payload(52));
        assert.deepEqual(await gained(client), []);
      },
      { seen: stage === 'within userauth' },
    );

    incident(
      `CVE-2018-7749, CVE-2018-7750, CVE-2018-1000805: messages of a server from a client change nothing, ${stage}`,
      async (site) => {
        for (const number of [6, 31, 33, 51, 52, 53, 60, 61, 63, 66]) {
          using client = await reach(site);
          client.send(payload(number, str(''), u32(0)));
          assert.deepEqual(await gained(client), [], `message ${number}`);
        }
      },
      { seen: stage === 'within userauth' },
    );

    incident(
      `CVE-2025-32433: messages 80 to 100 are not heard, ${stage}`,
      async (site) => {
        for (let number = 80; number <= 100; number++) {
          using client = await reach(site);
          client.send(
            number === 98
              ? payload(98, u32(0), str('exec'), yes, str(`touch ${trace}`))
              : payload(number, str('session'), u32(0), u32(1 << 20), u32(32768)),
          );
          client.send(payload(98, u32(0), str('exec'), yes, str(`touch ${trace}`)));
          const ending = await client.ending(60, 3_000);
          const heard = numbersOf(ending).filter((one) => one >= 80);
          assert.deepEqual(heard, [], `${number} was answered`);
          if (serverKind === 'sshdesk') {
            assertEnded(ending, 2);
          }
        }
      },
      { seen: stage === 'within userauth' },
    );

    incident(
      `CVE-2024-2873: no channel of any type opens, ${stage}`,
      async (site) => {
        const origin = [str('127.0.0.1'), u32(1)];
        for (const [type, ...more] of [
          ['session'],
          ['direct-tcpip', str('rfb.sshdesk'), u32(5900), ...origin],
          ['direct-streamlocal@openssh.com', str('/run/sshdesk/control.sock'), str(''), u32(0)],
          ['tun@openssh.com', u32(1), u32(0)],
          ['x11', ...origin],
          ['auth-agent@openssh.com'],
        ] as const) {
          using client = await reach(site);
          client.send(payload(90, str(type), u32(0), u32(1 << 20), u32(32768), ...more));
          assert.deepEqual(await gained(client), [], type);
        }
      },
      { seen: stage === 'within userauth' },
    );
  }

  incident(
    'CVE-2018-10933: messages of a login between two of its own do not advance it',
    async (site) => {
      using client = await site.asking();
      client.send(payload(50, str('alice'), str('ssh-connection'), str('none')));
      await client.nextOf(51);
      client.send(payload(60, str('ssh-ed25519'), str(key.blob)));
      assert.deepEqual(await gained(client), []);
    },
  );

  // ---- prefix truncation ----

  const harmless = [
    ['IGNORE', payload(2, str('x'))],
    ['DEBUG', payload(4, no, str('x'), str(''))],
    ['UNIMPLEMENTED', payload(3, u32(0))],
  ] as const;
  for (const [name, bytes] of [
    ...harmless,
    ['EXT_INFO', payload(7, u32(0))],
    ['an unknown message', payload(199)],
  ] as const) {
    incident(
      `CVE-2023-48795 (Terrapin): ${name} within the strict first exchange ends it`,
      async (site) => {
        using client = await site.identified();
        client.sendKexInit();
        await client.nextOf(20);
        client.send(bytes);
        assertEnded(await client.ending(400), 2, 3);
      },
      { seen: name !== 'EXT_INFO' && name !== 'an unknown message' },
    );
  }
  for (const [name, bytes] of harmless) {
    incident(
      `CVE-2023-48795 (Terrapin): ${name} in front of the client's strict KEXINIT ends it`,
      async (site) => {
        using client = await site.identified();
        client.send(bytes);
        client.sendKexInit();
        assertEnded(await client.ending(400), 2, 3);
      },
    );
  }
  for (const options of [{}, { cipher: 'aes128-gcm@openssh.com' }] satisfies RawOptions[]) {
    incident(
      `CVE-2023-48795 (Terrapin): the server offers strict kex and counts from 0 behind NEWKEYS (${options.cipher ?? 'aes128-ctr'})`,
      async (site) => {
        // The client of the test counts from 0 too: with another count no MAC would fit.
        using client = await site.loggedIn(options);
        assert.equal(client.isStrict, true);
        await client.exchangeKeys();
        assert.equal(await client.exec('echo on'), 'on\n');
      },
    );
  }
  incident(
    'CVE-2023-48795 (Terrapin): one packet put in before NEWKEYS does not pay for one taken out behind',
    async (site) => {
      using client = await site.identified();
      client.sendKexInit();
      await assert.rejects(async () => {
        await client.finishExchange(() => {
          // Put in between the client and the server: the client itself does not count it.
          client.socket.write(
            Buffer.concat([u32(12), byte(6), payload(2, u32(0)), Buffer.alloc(6)]),
          );
        });
        client.frame(payload(5, str('ssh-userauth'))); // taken out: counted, never sent
        client.send(payload(5, str('ssh-userauth')));
        await client.nextOf(6);
      });
      const ending = await client.ending(400);
      assert.ok(ending.closed || ending.disconnect !== undefined, 'the connection goes on');
    },
  );

  // ---- probes ----

  const tlsHello = Buffer.concat([
    Buffer.from('16030100c8010000c40303', 'hex'),
    randomBytes(32),
    Buffer.from('00005600000a', 'hex'),
    Buffer.alloc(300),
  ]);
  for (const [name, probe] of [
    ['TLS', tlsHello],
    ['HTTP', Buffer.from('GET / HTTP/1.0\r\n\r\n')],
    ['HTTP CONNECT', Buffer.from('CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n')],
    [
      'RDP',
      Buffer.from(
        '0300002a25e00000000000436f6f6b69653a206d737473686173683d6e6d61700d0a01000800030000000d0a',
        'hex',
      ),
    ],
    ['RFB', Buffer.from('RFB 003.008\n')],
    ['SOCKS5', Buffer.from('050100050100017f0000010016', 'hex')],
    [
      'SMB',
      Buffer.from(
        '000000a4ff534d4272000000000801400000000000000000000000000000400600000100',
        'hex',
      ),
    ],
    ['SSH 1', Buffer.from('SSH-1.5-Nmap-SSH1-Hostkey\r\n')],
    ['NX', Buffer.from('NXSH-3.3.0\nhello NXCLIENT - Version 3.3.0\n')],
  ] as const) {
    incident(
      `xrdp 0.10.1: a scanner's probe (${name}) gets a line and no session`,
      async (site) => {
        const socket = connect(site.port, '127.0.0.1');
        const pieces: Buffer[] = [];
        socket.on('data', (chunk: Buffer) => void pieces.push(chunk));
        socket.on('error', () => undefined);
        const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
        socket.end(probe);
        const timer = setTimeout(() => socket.destroy(), 5_000);
        await closed;
        clearTimeout(timer);
        const said = Buffer.concat(pieces);
        assert.ok(said.length < 4_000, `${said.length} bytes`);
        assert.match(said.toString('latin1'), /^SSH-2\.0-/);
        assert.doesNotMatch(site.server.log(), /^Accepted .*\b(nmap|root)\b/m);
      },
    );
  }

  // ---- counts, texts ----

  incident('CVE-2025-58181: a count of 2^32 - 1 GSSAPI mechanisms costs nothing', async (site) => {
    using watch = new MemoryWatch(site.server);
    for (const count of [0, 1, 0x10000, 0x7fffffff, 0xffffffff]) {
      using client = await site.asking();
      client.send(
        payload(50, str('alice'), str('ssh-connection'), str('gssapi-with-mic'), u32(count)),
      );
      const ending = await client.ending(300, 3_000);
      assert.ok(!numbersOf(ending).includes(52));
      assert.ok(numbersOf(ending).includes(51) || ending.closed, 'no answer');
    }
    assert.ok(watch.peakBytes < 64 * megabyte, `${watch.peakBytes} bytes more`);
    assert.ok(watch.areAllAlive);
  });

  incident('CVE-2016-7406: `%n%s` in names and texts is text', async (site) => {
    for (const name of ['%n%s%n%x%s', '%1$n%2$s', '%*.*s%999999999d']) {
      using client = await site.asking();
      client.send(payload(50, str(name), str('ssh-connection'), str('none')));
      await client.nextOf(51);
      client.send(payload(50, str(name), str('ssh-connection'), str(name), str(name)));
      await client.nextOf(51);
      client.send(payload(1, u32(11), str(name), str('')));
      await client.ending(200);
      if (serverKind === 'sshdesk') {
        assert.ok(site.server.log().includes(`Invalid user ${name} from`), 'the name as it is');
        await site.server.logged(/Received disconnect from .*%/);
        assert.ok(site.server.log().includes(`:11: ${name}`), 'the text as it is');
      }
    }
    using client = await site.loggedIn();
    assert.equal(await client.exec("printf '%s' '%n%s'"), '%n%s');
  });

  incident(
    'CVE-2025-61984: control characters of names and texts do not reach the log',
    async (site) => {
      const hostile =
        'x\r\nAccepted publickey for root from 192.0.2.1 port 1 ssh2\u001b]0;owned\u0007\u009b2J';
      {
        using client = await site.asking();
        client.send(payload(50, str(hostile), str('ssh-connection'), str('none')));
        await client.nextOf(51);
        client.send(payload(1, u32(11), str(hostile), str('')));
        await client.ending(200);
      }
      {
        using client = await RawSsh.open(site.port, { version: 'SSH-2.0-\u001b[2Jx\u0007' });
        await client.identify();
        client.sendKexInit(client.kexInit({ 0: 'no\u001bsuch' }));
        await client.ending(300);
      }
      if (serverKind === 'sshdesk') {
        await site.server.logged(/Received disconnect/);
        // The -E file of sshd lets a newline through.
        assert.doesNotMatch(site.server.log(), /^Accepted publickey for root/m);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
        assert.doesNotMatch(site.server.log(), /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
      }
    },
  );

  incident('CVE-2024-39917: failures of every method count together', async (site) => {
    using client = await site.asking();
    const request = (...fields: readonly Buffer[]) =>
      client.send(payload(50, str('alice'), str('ssh-connection'), ...fields));
    const tries = [
      () => request(str('password'), no, str('wrong')),
      () => client.send(client.signedRequest('alice', key, randomBytes(32))),
      () => request(str('nonsense@example.com')),
      () =>
        request(str('hostbased'), str('ssh-ed25519'), str(key.blob), str('h'), str('u'), str('')),
      () => request(str('password'), no, str('wrong')),
      () => client.send(client.signedRequest('alice', key, randomBytes(32))),
    ];
    for (const [index, attempt] of tries.entries()) {
      attempt();
      if (index < tries.length - 1) {
        await client.nextOf(51);
      }
    }
    const ending = await client.ending(3_000, 8_000);
    assertEnded(ending, 2);
    assert.ok(!numbersOf(ending).includes(51));
  });

  incident(
    'CVE-2024-39917: a fresh connection of the same client has its own tries, not more',
    async (site) => {
      for (let round = 0; round < 3; round++) {
        using client = await site.asking();
        let refused = 0;
        for (let index = 0; index < 8; index++) {
          client.send(client.signedRequest('alice', key, randomBytes(32)));
        }
        const ending = await client.ending(500, 5_000);
        for (const number of numbersOf(ending)) {
          refused += number === 51 ? 1 : 0;
        }
        assert.equal(refused, 5);
        assertEnded(ending, 2);
      }
    },
  );

  incident('the client of these tests is right: it logs in', async (site) => {
    using client = await site.loggedIn();
    assert.equal(await client.exec('id -un'), 'alice\n');
  });
});
