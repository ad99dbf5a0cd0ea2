/**
 * Malformed, oversized, truncated and early packets get the answer of the RFC, and nobody else
 * notices. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { authorize, inLab, type LabUser, makeUser } from '../support/lab.ts';
import {
  byte,
  type Ending,
  Fields,
  makeRawKey,
  no,
  payload,
  RawSsh,
  type RawOptions,
  str,
  u32,
  yes,
} from '../support/raw-ssh.ts';
import { type Holdings, serverKind, startServer, type TestServer } from '../support/server.ts';

const lab = inLab(import.meta.url);
const key = makeRawKey();
const gcm = { cipher: 'aes128-gcm@openssh.com' } as const;

/** The connection is over; when the server said why, then with one of these reasons. */
function assertEnded(ending: Ending, ...reasons: readonly number[]): void {
  assert.ok(ending.closed || ending.disconnect !== undefined, 'the connection goes on');
  if (ending.disconnect !== undefined) {
    assert.ok(
      reasons.includes(ending.disconnect.reason),
      `reason ${ending.disconnect.reason} (${ending.disconnect.text}), not ${reasons}`,
    );
  } else if (serverKind === 'sshdesk') {
    // sshd often just closes; RFC 4253 §11.1 has a message for it.
    assert.fail('closed without DISCONNECT');
  }
}

const numbers = (ending: Ending): readonly number[] => ending.messages.map((m) => m[0] as number);

describe('a hostile peer', lab, () => {
  let server: TestServer;
  let alice: LabUser;
  let base: Holdings;
  let bystander: RawSsh;
  let bystanderChannel: number;
  let wholeKexInit: Buffer;

  before(async () => {
    alice = makeUser('alice', { authorizedKeys: [key.line] });
    makeUser('bob', { authorizedKeys: [key.line] });
    server = await startServer({ config: ['UsePAM yes', 'MaxAuthTries 6', 'LogLevel VERBOSE'] });
    bystander = await RawSsh.loggedIn(server.port, 'alice', key);
    bystanderChannel = await bystander.openSession(3);
    bystander.send(payload(98, u32(bystanderChannel), str('exec'), yes, str('cat')));
    await bystander.nextOf(99);
    wholeKexInit = bystander.kexInit();
    base = await server.settled();
  });
  after(async () => {
    bystander?.close();
    await server?.stop();
  });

  const unharmed = async (): Promise<void> => {
    const word = randomBytes(8).toString('hex');
    bystander.send(payload(94, u32(bystanderChannel), str(word)));
    const fields = new Fields(await bystander.nextOf(94));
    fields.u32();
    assert.equal(fields.str().toString(), word);
    assert.deepEqual(await server.leftovers(base), []);
    assert.ok(!existsSync('/tmp/pwned'));
  };
  const hostile = (name: string, act: () => Promise<void>, skip: string | false = false): void => {
    test(name, { skip }, async () => {
      await act();
      await unharmed();
    });
  };
  const shaken = async (options: RawOptions = {}) => await RawSsh.shaken(server.port, options);
  const identified = async () => {
    const client = await RawSsh.open(server.port);
    await client.identify();
    return client;
  };
  const loggedIn = async (options: RawOptions = {}) =>
    await RawSsh.loggedIn(server.port, 'alice', key, options);

  // ---- identification ----

  for (const [name, bytes] of [
    ['a line of HTTP', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['version 1.5', 'SSH-1.5-old\r\n'],
    ['version 3.0', 'SSH-3.0-new\r\n'],
    ['a line of a megabyte', Buffer.alloc(1024 * 1024, 0x41)],
    ['NULs', Buffer.alloc(1000)],
    ['ten thousand lines', 'hello\r\n'.repeat(10_000)],
  ] as const) {
    hostile(`${name} for an identification ends it`, async () => {
      const socket = connect(server.port, '127.0.0.1');
      const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
      socket.on('error', () => undefined);
      socket.resume();
      socket.write(bytes);
      const timer = setTimeout(() => socket.destroy(new Error('still open')), 5_000);
      await closed;
      clearTimeout(timer);
      assert.equal(socket.errored?.message === 'still open', false, 'the connection stayed open');
    });
  }

  // ---- record layer, in the clear ----

  for (const length of [0, 1, 3, 5, 11, 35_001, 262_145, 0x7fffffff, 0xffffffff]) {
    hostile(`a packet length of ${length} before keys ends it with reason 2`, async () => {
      using client = await RawSsh.open(server.port);
      await client.identify();
      client.socket.write(Buffer.concat([u32(length), byte(4), Buffer.alloc(36_000)]));
      assertEnded(await client.ending(1_000), 2);
    });
  }
  hostile('a padding longer than its packet ends it', async () => {
    using client = await RawSsh.open(server.port);
    await client.identify();
    client.socket.write(
      Buffer.concat([u32(12), byte(200), payload(2, str('abc')), Buffer.alloc(3)]),
    );
    assertEnded(await client.ending(1_000), 2);
  });

  // ---- key exchange ----

  hostile('no common algorithm ends it with reason 3', async () => {
    for (const list of [0, 1, 2, 4]) {
      using client = await RawSsh.open(server.port, list === 4 ? {} : gcm);
      await client.identify();
      client.sendKexInit(client.kexInit({ [list]: 'nonsense@example.com' }));
      assertEnded(await client.ending(1_000), 3);
    }
  });
  hostile('a KEXINIT cut at each of its fields ends it', async () => {
    const whole = wholeKexInit;
    for (const length of [1, 5, 17, 20, 60, whole.length - 5, whole.length - 1]) {
      using client = await RawSsh.open(server.port);
      await client.identify();
      client.send(whole.subarray(0, length));
      assertEnded(await client.ending(1_000), 2, 3);
    }
  });
  for (const number of [5, 50, 52, 80, 90, 94, 98]) {
    hostile(`message ${number} before keys ends it`, async () => {
      using client = await RawSsh.open(server.port);
      await client.identify();
      client.sendKexInit();
      await client.nextOf(20);
      client.send(payload(number, str('session'), u32(0), u32(1 << 20), u32(32768)));
      assertEnded(await client.ending(1_000), 2, 3);
    });
  }
  hostile('a wrong guess is passed over', async () => {
    using client = await RawSsh.open(server.port);
    await client.identify();
    client.sendKexInit(
      client.kexInit(
        { 0: 'nonsense@example.com,curve25519-sha256,kex-strict-c-v00@openssh.com' },
        true,
      ),
    );
    client.send(payload(30, str(randomBytes(32))));
    await client.finishExchange();
    await client.requestUserauth();
  });
  for (const [name, value] of [
    ['the point of order one', Buffer.alloc(32)],
    ['31 bytes', Buffer.alloc(31, 9)],
    ['33 bytes', Buffer.alloc(33, 9)],
    ['nothing', Buffer.alloc(0)],
  ] as const) {
    hostile(`${name} as the value of the exchange ends it`, async () => {
      using client = await RawSsh.open(server.port);
      await client.identify();
      client.sendKexInit();
      await client.nextOf(20);
      client.send(payload(30, str(value)));
      assertEnded(await client.ending(1_000), 2, 3);
    });
  }
  hostile('NEWKEYS before the exchange is done ends it', async () => {
    using client = await RawSsh.open(server.port);
    await client.identify();
    client.sendKexInit();
    await client.nextOf(20);
    client.send(payload(21));
    assertEnded(await client.ending(1_000), 2, 3);
  });

  // ---- record layer, encrypted ----

  for (const [name, options] of [
    ['hmac-sha2-256', {}],
    ['aes128-gcm', gcm],
  ] as const) {
    for (const where of ['first byte behind the length', 'last byte'] as const) {
      hostile(`${name}: a changed ${where} ends it, reason 5`, async () => {
        using client = await shaken(options);
        client.send(payload(2, str('x'.repeat(100))), (packet) => {
          const at = where === 'last byte' ? packet.length - 1 : 40;
          packet[at] = (packet[at] as number) ^ 1;
          return packet;
        });
        assertEnded(await client.ending(1_000), 5, 2);
      });
    }
    for (const length of [0, 4, 15, 0x00fffff0, 0xfffffffc]) {
      hostile(`${name}: an encrypted packet length of ${length} ends it`, async () => {
        using client = await shaken(options);
        client.socket.write(
          client.encrypt(Buffer.concat([u32(length), byte(4), Buffer.alloc(43)])),
        );
        client.socket.write(randomBytes(40_000));
        assertEnded(await client.ending(2_000), 2, 5);
      });
    }
    hostile(`${name}: an empty payload ends it`, async () => {
      using client = await shaken(options);
      client.send(Buffer.alloc(0));
      assertEnded(await client.ending(1_000), 2);
    });
    hostile(`${name}: a login and a rekey work (the client itself is right)`, async () => {
      using client = await loggedIn(options);
      assert.equal(await client.exec('id -un'), 'alice\n');
      await client.exchangeKeys();
      assert.equal(await client.exec('echo rekeyed', 8), 'rekeyed\n');
    });
  }

  // ---- before authentication ----

  hostile('an unknown service ends it with reason 7', async () => {
    using client = await shaken();
    client.send(payload(5, str('ssh-nonsense')));
    assertEnded(await client.ending(), 7, 2);
  });
  hostile('the connection service before a login gives nothing', async () => {
    using client = await shaken();
    client.send(payload(5, str('ssh-connection')));
    assertEnded(await client.ending(), 7, 2);
  });
  hostile('an unknown message gets UNIMPLEMENTED with its number in the row', async () => {
    using client = await loggedIn();
    for (const number of [8, 110, 191]) {
      const sequence = client.sequenceOut;
      client.send(payload(number, randomBytes(20)));
      assert.equal(new Fields(await client.nextOf(3)).u32(), sequence);
    }
    assert.equal(await client.exec('echo on'), 'on\n');
  });
  hostile('a second user in one connection ends it', async () => {
    using client = await shaken();
    await client.requestUserauth();
    client.send(payload(50, str('alice'), str('ssh-connection'), str('none')));
    await client.nextOf(51);
    client.send(client.signedRequest('bob', key));
    assertEnded(await client.ending(), 2);
  });
  hostile('a request after success is passed over: the user stays', async () => {
    using client = await loggedIn();
    client.send(client.signedRequest('bob', key));
    client.send(payload(50, str('root'), str('ssh-connection'), str('none')));
    assert.equal(await client.exec('id -un'), 'alice\n');
  });
  hostile(
    'a signature over another session, or another key, or another user is refused',
    async () => {
      using client = await shaken();
      await client.requestUserauth();
      client.send(client.signedRequest('alice', key, randomBytes(32)));
      await client.nextOf(51);
      client.send(client.signedRequest('alice', { ...makeRawKey(), blob: key.blob }));
      await client.nextOf(51);
      const forBob = client.signedRequest('bob', key);
      client.send(Buffer.concat([payload(50, str('alice')), forBob.subarray(1 + 4 + 3)]));
      await client.nextOf(51);
      client.send(client.signedRequest('alice', key));
      await client.nextOf(52);
    },
  );
  hostile(
    'the key that signs is the one that counts, whatever was asked about before',
    async () => {
      const second = makeRawKey();
      authorize(alice, [
        `command="echo first" ${key.line}`,
        `command="echo second" ${second.line}`,
      ]);
      try {
        using client = await shaken();
        await client.requestUserauth();
        for (const asked of [second, key, second]) {
          client.send(
            payload(
              50,
              ...[str('alice'), str('ssh-connection'), str('publickey'), no],
              ...[str('ssh-ed25519'), str(asked.blob)],
            ),
          );
          await client.nextOf(60);
        }
        client.send(client.signedRequest('alice', key));
        await client.nextOf(52);
        assert.equal(await client.exec('x'), 'first\n');
      } finally {
        authorize(alice, [key.line]);
      }
    },
  );
  hostile('methods that are not known get FAILURE with what can continue', async () => {
    using client = await shaken();
    await client.requestUserauth();
    for (const method of ['none', 'nonsense@example.com', 'hostbased', 'gssapi-keyex']) {
      const more = method === 'none' ? [] : [str('x')];
      client.send(payload(50, str('alice'), str('ssh-connection'), str(method), ...more));
      const answer = new Fields(await client.nextOf(51));
      assert.match(answer.str().toString(), /publickey/);
      assert.equal(answer.byte(), 0);
    }
  });
  hostile(
    'names of users that no system has are refused like others, and logged on one line',
    async () => {
      for (const name of [
        ...['', '../../etc/passwd', 'a/b', 'x\ny: Accepted publickey for root', '-oProxyCommand=x'],
        ...['\u202eevil', 'a\0b', '%n%s%n', '$(touch /tmp/pwned)', 'x'.repeat(30_000)],
      ]) {
        using client = await shaken();
        await client.requestUserauth();
        client.send(client.signedRequest(name, key));
        const ending = await client.ending(300, 4_000);
        assert.ok(!numbers(ending).includes(52));
        assert.ok(numbers(ending).includes(51) || ending.closed, `${name.slice(0, 20)}: no answer`);
      }
      if (serverKind === 'sshdesk') {
        // The -E file of sshd lets it through.
        assert.doesNotMatch(server.log(), /^y: Accepted/m);
      }
    },
  );
  hostile('a truncated USERAUTH_REQUEST ends it', async () => {
    using client = await shaken();
    await client.requestUserauth();
    const whole = client.signedRequest('alice', key);
    client.send(whole.subarray(0, whole.length - 10));
    const ending = await client.ending();
    assert.ok(!numbers(ending).includes(52));
    assertEnded(ending, 2);
  });

  // ---- behind the login ----

  hostile('unknown requests: FAILURE when an answer is wanted, silence when not', async () => {
    using client = await loggedIn();
    client.send(payload(80, str('nonsense@example.com'), yes));
    await client.nextOf(82);
    client.send(payload(80, str('nonsense@example.com'), no));
    const channel = await client.openSession();
    client.send(payload(98, u32(channel), str('nonsense'), yes));
    await client.nextOf(100);
    client.send(payload(98, u32(channel), str('nonsense'), no));
    client.send(payload(98, u32(channel), str('signal'), no, str('NOSUCH@example.com')));
    assert.deepEqual(numbers(await client.ending(150)), []);
    assert.equal(await client.exec('echo on'), 'on\n');
  });
  hostile('an unknown channel type: OPEN_FAILURE 3', async () => {
    using client = await loggedIn();
    client.send(payload(90, str('nonsense'), u32(9), u32(1), u32(1)));
    const fields = new Fields(await client.nextOf(92));
    // sshd says 2.
    assert.deepEqual([fields.u32(), fields.u32()], [9, serverKind === 'sshd' ? 2 : 3]);
  });
  for (const number of [93, 94, 95, 96, 97, 98, 99, 100]) {
    hostile(`message ${number} for a channel that is not there ends it`, async () => {
      using client = await loggedIn();
      const rest =
        number === 95 ? [u32(1), str('x')] : number === 98 ? [str('exec'), yes, str('true')] : [];
      client.send(
        payload(
          number,
          u32(4711),
          ...(number === 93 ? [u32(1)] : []),
          ...(number === 94 ? [str('x')] : []),
          ...rest,
        ),
      );
      const ending = await client.ending();
      if (serverKind === 'sshdesk') {
        assertEnded(ending, 2);
      }
      assert.ok(!numbers(ending).includes(99));
    });
  }
  hostile('shell, exec or subsystem a second time is refused', async () => {
    using client = await loggedIn();
    const channel = await client.openSession();
    client.send(payload(98, u32(channel), str('exec'), yes, str('cat')));
    await client.nextOf(99);
    client.send(payload(98, u32(channel), str('exec'), yes, str('touch /tmp/pwned')));
    const ending = await client.ending();
    assert.ok(numbers(ending).includes(100) || ending.closed);
  });
  hostile('more than the window is not taken', async () => {
    using client = await loggedIn();
    const channel = await client.openSession();
    client.send(payload(98, u32(channel), str('exec'), yes, str('sleep 2')));
    await client.nextOf(99);
    for (let index = 0; index < 400; index++) {
      client.send(payload(94, u32(channel), str(Buffer.alloc(32_768))));
    }
    // RFC 4254 §5.2: it may be ignored, as Debian's sshd does (later ones end the connection).
    const ending = await client.ending(500);
    if (serverKind === 'sshdesk') {
      assertEnded(ending, 2);
    } else {
      assert.match(server.log(), /rcvd too much data/);
    }
  });
  for (const number of [5, 6, 51, 52, 53, 60, 61, 63, 66, 77, 78, 79, 83, 101, 127, 191]) {
    hostile(`message ${number} behind the login: UNIMPLEMENTED, and it goes on`, async () => {
      using client = await loggedIn();
      client.send(payload(number, str('x'), u32(1)));
      await client.nextOf(3);
      assert.equal(await client.exec('echo on'), 'on\n');
    });
  }
  hostile('data behind EOF, and EOF twice, end it or are passed over', async () => {
    using client = await loggedIn();
    const channel = await client.openSession();
    client.send(payload(98, u32(channel), str('exec'), yes, str('cat; echo over')));
    await client.nextOf(99);
    client.send(payload(96, u32(channel)));
    client.send(payload(96, u32(channel)));
    client.send(payload(94, u32(channel), str('behind')));
    const ending = await client.ending();
    assert.ok(!ending.messages.some((m) => m.includes('behind')));
  });
  for (const [name, bytes] of [
    ['a channel open without its packet size', payload(90, str('session'), u32(0), u32(1))],
    ['a string longer than its message', payload(90, u32(0xffffffff))],
    ['a global request of nothing', payload(80)],
    ['a window adjust without its size', payload(93, u32(0))],
    ['a request without its answer flag', payload(98, u32(0), str('exec'))],
    ['data shorter than it says', payload(94, u32(0), u32(100), Buffer.from('short'))],
    ['data with bytes behind', payload(94, u32(0), str('x'), Buffer.from('behind'))],
    ['EOF with bytes behind', payload(96, u32(0), Buffer.from('behind'))],
  ] as const) {
    hostile(`${name} ends it`, async () => {
      using client = await loggedIn();
      const channel = await client.openSession();
      client.send(payload(98, u32(channel), str('exec'), yes, str('cat')));
      await client.nextOf(99);
      client.send(bytes);
      assertEnded(await client.ending(), 2);
    });
  }
  hostile('a rekey that the client never ends holds no output back without bound', async () => {
    using client = await loggedIn();
    const channel = await client.openSession(0, 0x7fffffff);
    client.send(payload(98, u32(channel), str('exec'), yes, str('head -c 50000000 /dev/zero')));
    await client.nextOf(99);
    client.sendKexInit();
    await client.ending(500, 2_000);
  });
  hostile('random bytes in every phase', async () => {
    for (let round = 0; round < 40; round++) {
      using client =
        round % 4 === 0
          ? await identified()
          : round % 4 === 1
            ? await shaken(round % 8 === 1 ? gcm : {})
            : await loggedIn(round % 8 === 2 ? gcm : {});
      if (round % 4 === 3) {
        for (let index = 0; index < 10; index++) {
          client.send(Buffer.concat([byte(80 + (index % 21)), randomBytes(round * 3)]));
        }
      } else {
        client.socket.write(randomBytes(2_000));
      }
      const ending = await client.ending(40, 1_000);
      assert.ok(!numbers(ending).includes(99));
    }
  });
});
