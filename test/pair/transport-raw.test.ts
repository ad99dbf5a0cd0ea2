/** The transport against a client written from the RFCs, well-behaved and hostile. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { kexAlgorithms } from '../../src/ssh/wire/algorithms.ts';
import { makeHostKey } from '../support/exchange-signer.ts';
import { RawClient, type RawOptions, sshString, uint32 } from '../support/raw-client.ts';
import { type Served, settingsFor, TransportServer } from '../support/transport-server.ts';

const key = makeHostKey('ssh-ed25519');
let server: TransportServer;

before(async () => {
  server = await TransportServer.listen([key], settingsFor([key]));
});
after(async () => {
  assert.deepEqual(server.bugs, []);
  await server.close();
});

async function connected(options: RawOptions = {}): Promise<{ client: RawClient; served: Served }> {
  const client = await RawClient.connect(server.port, options);
  while (
    server.served.length === 0 ||
    server.served.at(-1)?.socket.remotePort !== client.socket.localPort
  ) {
    await delay(1);
  }
  return { client, served: server.served.at(-1) as Served };
}

async function ready(options: RawOptions = {}): Promise<{ client: RawClient; served: Served }> {
  const both = await connected(options);
  await both.client.handshake();
  return both;
}

const message = (number: number, ...parts: Buffer[]) =>
  Buffer.concat([Buffer.from([number]), ...parts]);
const ignore = message(2, sshString('x'));

describe('a well-behaved client', { timeout: 60_000 }, () => {
  for (const { name } of kexAlgorithms) {
    test(`${name}: first exchange, login, an exchange by each side`, async () => {
      const { client, served } = await ready({ kex: name });
      await client.logIn();
      assert.ok(served.transport.sessionId?.equals(client.sessionId as Buffer));
      await client.rekey();
      client.send(message(192, sshString('one')));
      assert.deepEqual(await client.expect(193), message(193, sshString('one')));
      served.transport.rekey();
      client.serverKexInit = await client.expect(20);
      client.send(client.makeKexInit(), client.kexValue());
      await client.takeReply();
      client.send(message(192, sshString('two')));
      assert.deepEqual(await client.expect(193), message(193, sshString('two')));
      assert.ok(served.transport.sessionId?.equals(client.sessionId as Buffer));
      assert.deepEqual(
        served.signer.exchanges.map((exchange) => exchange.kexAlgorithm),
        [name, name, name],
      );
      client.socket.destroy();
    });
  }

  test('fifty ML-KEM and fifty curve25519 exchanges on one connection agree', async () => {
    for (const kex of ['mlkem768x25519-sha256', 'curve25519-sha256']) {
      const quick = await TransportServer.listen([key], settingsFor([key]), 0);
      const client = await RawClient.connect(quick.port, { kex });
      await client.handshake();
      await client.logIn();
      for (let i = 0; i < 50; i++) {
        await client.rekey();
      }
      client.socket.destroy();
      await quick.close();
    }
  });

  test('EXT_INFO is the first packet after NEWKEYS and complete', async () => {
    const { client } = await ready();
    const payload = (await client.next()) as Buffer;
    assert.equal(payload[0], 7);
    const text = payload.toString('latin1');
    const names =
      'ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256';
    assert.ok(payload.includes(Buffer.concat([sshString('server-sig-algs'), sshString(names)])));
    assert.ok(text.includes('ping@openssh.com'));
    assert.ok(text.includes('publickey-hostbound@openssh.com'));
    client.socket.destroy();
  });

  test('libssh: EXT_INFO follows NEWKEYS at once, whether the peer has sent its own or not', async () => {
    for (const strict of [true, false]) {
      const { client } = await connected({ strict });
      await client.open();
      client.send(client.kexValue());
      const original = client.send.bind(client);
      let newKeys: Buffer | undefined;
      client.send = (...payloads: Buffer[]) => {
        newKeys ??= Buffer.concat(payloads.map((payload) => client.seal(payload)));
      };
      await client.takeReply();
      client.send = original;
      assert.equal((await client.next())?.[0], 7);
      client.socket.write(newKeys as Buffer);
      client.send(message(192, sshString('later')));
      assert.deepEqual(await client.next(), message(193, sshString('later')));
      client.socket.destroy();
    }
  });

  test('a password is nowhere left where the socket was read into', async () => {
    const { client } = await ready();
    const secret = Buffer.from('the-secret-of-this-test');
    let packets = 0;
    const found: string[] = [];
    server.onTaken = (chunk) => {
      packets++;
      if (chunk.includes(secret)) {
        found.push(chunk.toString('latin1'));
      }
    };
    for (let length = 0; length < 64; length++) {
      // Of many lengths: it lies in one piece of what was read as often as not.
      client.send(message(2, sshString(Buffer.concat([Buffer.alloc(length), secret]))));
    }
    client.send(message(192, sshString('over')));
    await client.expect(193);
    server.onTaken = () => {};
    assert.ok(packets > 0);
    assert.deepEqual(found, []);
    client.socket.destroy();
  });

  test('EXT_INFO is not sent to a client that did not ask', async () => {
    const { client } = await ready({ extInfo: false });
    client.send(message(192, sshString('')));
    assert.equal((await client.next())?.[0], 193);
    client.socket.destroy();
  });

  test('the encrypt-then-MAC form works', async () => {
    const { client } = await ready({ mac: 'hmac-sha2-256-etm@openssh.com' });
    await client.logIn();
    client.socket.destroy();
  });

  test('IGNORE, DEBUG and UNIMPLEMENTED between packets do no harm', async () => {
    const { client } = await ready();
    const debug = message(4, Buffer.from([1]), sshString('d'), sshString(''));
    client.send(ignore, debug, message(3, uint32(5)));
    await client.logIn();
    client.socket.destroy();
  });

  test('without strict kex IGNORE may stand between the packets of the first exchange', async () => {
    const { client } = await connected({ strict: false });
    client.socket.write(`SSH-2.0-raw_client\r\n`);
    await client.readVersion();
    client.send(ignore, client.makeKexInit(), ignore, client.kexValue(), ignore);
    client.serverKexInit = await client.expect(20);
    await client.takeReply();
    await client.logIn();
    client.socket.destroy();
  });

  test('a handshake that comes byte by byte', async () => {
    const { client } = await connected();
    const trickle = async (bytes: Buffer) => {
      for (const byte of bytes) {
        client.socket.write(Buffer.from([byte]));
        await delay(0);
      }
    };
    await trickle(Buffer.from('SSH-2.0-raw_client\r\n'));
    await client.readVersion();
    await trickle(client.seal(client.makeKexInit()));
    client.serverKexInit = await client.expect(20);
    await trickle(client.seal(client.kexValue()));
    await client.takeReply();
    await client.logIn();
    client.socket.destroy();
  });

  test('a right guess is used, a wrong one is dropped once', async () => {
    const first = kexAlgorithms[0]?.name as string;
    const right = await connected({ kex: first });
    right.client.socket.write('SSH-2.0-raw_client\r\n');
    await right.client.readVersion();
    const strict = 'kex-strict-c-v00@openssh.com';
    right.client.send(
      right.client.makeKexInit({ guess: true, kex: [first, strict] }),
      right.client.kexValue(),
    );
    right.client.serverKexInit = await right.client.expect(20);
    await right.client.takeReply();
    await right.client.logIn();

    const wrong = await connected({ kex: 'curve25519-sha256' });
    wrong.client.socket.write('SSH-2.0-raw_client\r\n');
    await wrong.client.readVersion();
    wrong.client.send(
      wrong.client.makeKexInit({ guess: true, kex: ['curve25519-sha256', first, strict] }),
      message(30, sshString('made for another method')),
    );
    wrong.client.serverKexInit = await wrong.client.expect(20);
    wrong.client.send(wrong.client.kexValue());
    await wrong.client.takeReply();
    await wrong.client.logIn();
    // A second one is not dropped.
    wrong.client.send(
      wrong.client.makeKexInit({ guess: true, kex: ['curve25519-sha256', first] }),
      message(30, sshString('guess')),
      message(30, sshString('not a guess any more')),
    );
    assert.equal((await wrong.client.farewell())?.reason, 3);
    right.client.socket.destroy();
  });

  test('the peer is told UNIMPLEMENTED with the number of its packet', async () => {
    const { client } = await ready();
    await client.logIn();
    // NEWKEYS reset the number: SERVICE_REQUEST 0, USERAUTH_REQUEST 1.
    client.send(message(150), message(9));
    assert.equal((await client.expect(3)).readUInt32BE(1), 2);
    assert.equal((await client.expect(3)).readUInt32BE(1), 3);
    client.socket.destroy();
  });

  test('its DISCONNECT reaches the layers above', async () => {
    const { client, served } = await ready();
    client.send(message(1, uint32(11), sshString('enough'), sshString('')));
    await served.closed;
    assert.equal(served.error, undefined);
    assert.deepEqual(served.peerReason, { reason: 11, text: 'enough' });
  });

  test('its end of file without a word is an orderly end', async () => {
    const { client, served } = await ready();
    client.socket.end();
    await served.closed;
    assert.equal(served.error, undefined);
    assert.equal(served.peerReason, undefined);
  });
});

describe('a hostile client before the first NEWKEYS', { timeout: 60_000 }, () => {
  for (const line of ['GET / HTTP/1.1', 'SSH-1.5-old', 'SSH-2.0-', 'SSH-2.0', '', 'SSH-2.0- x']) {
    test(`identification ${JSON.stringify(line)} is answered as sshd does`, async () => {
      const { client, served } = await connected();
      client.socket.write(`${line}\r\n`);
      await client.readVersion();
      assert.equal(await client.untilClosed(), 'Invalid SSH identification string.\r\n');
      await served.closed;
      assert.equal((served.error as { reason?: number }).reason, 8);
    });
  }

  test('an identification without end is cut at 255 bytes', async () => {
    const { client } = await connected();
    client.socket.write(`SSH-2.0-${'x'.repeat(300)}`);
    await client.readVersion();
    assert.equal(await client.untilClosed(), 'Invalid SSH identification string.\r\n');
  });

  for (const length of [0, 1, 7, 9, 35_001, 0x7fffffff, 0xffffffff]) {
    test(`packet length ${length} is reason 2`, async () => {
      const { client } = await connected();
      await client.open();
      client.socket.write(client.seal(ignore, { length }));
      assert.deepEqual(await client.farewell(), { reason: 2, text: 'Protocol error' });
    });
  }

  test('padding longer than the packet is reason 2', async () => {
    const { client } = await connected();
    await client.open();
    client.socket.write(client.seal(ignore, { padding: 255 }));
    assert.equal((await client.farewell())?.reason, 2);
  });

  test('an empty payload is reason 2', async () => {
    const { client } = await connected();
    await client.open();
    client.send(Buffer.alloc(0));
    assert.equal((await client.farewell())?.reason, 2);
  });

  for (const number of [0, 5, 6, 7, 21, 31, 50, 52, 61, 80, 90, 94, 98, 192, 255]) {
    test(`message ${number} in place of a KEXINIT is refused, and after it too`, async () => {
      const first = await connected();
      first.client.socket.write('SSH-2.0-raw_client\r\n');
      await first.client.readVersion();
      first.client.send(message(number, sshString('ssh-userauth')));
      assert.equal((await first.client.farewell())?.reason, 2);
      const second = await connected();
      await second.client.open();
      second.client.send(message(number, sshString('ssh-userauth')));
      assert.equal((await second.client.farewell())?.reason, 2);
    });
  }

  test('message 50 between our NEWKEYS and the peer’s is refused, readable under the new keys', async () => {
    const { client, served } = await connected();
    await client.open();
    client.send(client.kexValue());
    // Sealed under no key, behind the exchange and in front of NEWKEYS.
    const tooEarly = client.seal(message(50));
    let sent = false;
    const original = client.send.bind(client);
    client.send = (...payloads: Buffer[]) => {
      if (!sent && payloads[0]?.[0] === 21) {
        sent = true;
        client.socket.write(tooEarly);
        return;
      }
      original(...payloads);
    };
    await client.takeReply();
    assert.equal((await client.farewell())?.reason, 2);
    await served.closed;
  });

  test('AsyncSSH: data between the peer’s KEXINIT and its NEWKEYS of a later exchange is heard', async () => {
    const { client } = await ready();
    await client.logIn();
    const session = Buffer.concat([uint32(5), uint32(1 << 20), uint32(1 << 15)]);
    client.send(message(90, sshString('session'), session));
    await client.expect(91);
    const exec = Buffer.concat([sshString('exec'), Buffer.from([0]), sshString('sink')]);
    client.send(message(98, uint32(0), exec));
    const data = (text: string) => message(94, uint32(0), sshString(text));
    client.send(client.makeKexInit(), data('one '));
    client.serverKexInit = await client.expect(20);
    client.send(data('two '), client.kexValue(), data('three '));
    await client.takeReply();
    client.send(data('four'), message(96, uint32(0)));
    const answer = (await client.expect(95)).toString('latin1');
    assert.ok(answer.includes(createHash('sha256').update('one two three four').digest('hex')));
    client.socket.destroy();
  });

  test('before the login nothing is heard in any exchange, and the end is readable', async () => {
    for (const number of [5, 50, 80, 90, 94]) {
      const { client } = await ready();
      client.send(client.makeKexInit(), message(number, sshString('x')));
      assert.equal((await client.farewell())?.reason, 2, `message ${number}`);
    }
  });

  for (const number of [2, 3, 4]) {
    test(`Terrapin: message ${number} inside a strict first exchange ends the connection`, async () => {
      const { client } = await connected();
      await client.open();
      client.send(message(number, sshString('x')));
      assert.equal((await client.farewell())?.reason, 2);
    });
    test(`Terrapin: message ${number} in front of a strict KEXINIT ends the connection`, async () => {
      const { client } = await connected();
      client.socket.write('SSH-2.0-raw_client\r\n');
      await client.readVersion();
      client.send(message(number, sshString('x')), client.makeKexInit());
      assert.equal((await client.farewell())?.reason, 3);
    });
  }

  test('a sequence number that is off by one is reason 5', async () => {
    const { client } = await ready();
    client.skipSequence();
    client.send(ignore);
    assert.deepEqual(await client.farewell(), { reason: 5, text: 'Corrupted MAC on input' });
  });

  test('a second KEXINIT during the exchange, and while it is signed', async () => {
    const first = await connected();
    await first.client.open();
    first.client.send(first.client.makeKexInit());
    assert.equal((await first.client.farewell())?.reason, 2);
    const second = await connected();
    await second.client.open();
    second.client.send(second.client.kexValue(), second.client.makeKexInit());
    assert.equal((await second.client.farewell())?.reason, 2);
  });

  test('NEWKEYS while the exchange is signed', async () => {
    const { client } = await connected();
    await client.open();
    client.send(client.kexValue(), message(21));
    assert.equal((await client.farewell())?.reason, 2);
  });

  test('a KEXINIT cut at each offset, and one with bytes behind its end', async () => {
    const whole = (await connected()).client.makeKexInit();
    for (let bytes = 1; bytes < whole.length; bytes += 7) {
      const { client } = await connected();
      client.socket.write('SSH-2.0-raw_client\r\n');
      await client.readVersion();
      client.send(whole.subarray(0, bytes));
      assert.equal((await client.farewell())?.reason, 2, `cut at ${bytes}`);
    }
    const { client } = await connected();
    client.socket.write('SSH-2.0-raw_client\r\n');
    await client.readVersion();
    client.send(Buffer.concat([whole, Buffer.alloc(1)]));
    assert.equal((await client.farewell())?.reason, 2);
  });

  for (const name of ['nothing-known', 'ext-info-s', 'kex-strict-s-v00@openssh.com', '']) {
    test(`kex ${JSON.stringify(name)} matches nothing: reason 3`, async () => {
      const { client } = await connected();
      client.socket.write('SSH-2.0-raw_client\r\n');
      await client.readVersion();
      client.send(client.makeKexInit({ kex: [name] }));
      assert.equal((await client.farewell())?.reason, 3);
    });
  }

  const badValues: [string, Buffer][] = [
    ['curve25519-sha256', sshString(Buffer.alloc(32))],
    ['curve25519-sha256', sshString(Buffer.alloc(31, 1))],
    ['curve25519-sha256', sshString('')],
    ['mlkem768x25519-sha256', sshString(Buffer.alloc(1216, 255))],
    ['mlkem768x25519-sha256', sshString(Buffer.alloc(1216))],
    ['mlkem768x25519-sha256', sshString(Buffer.alloc(1215, 1))],
    ['ecdh-sha2-nistp256', sshString(Buffer.alloc(65, 4))],
    ['ecdh-sha2-nistp521', sshString(Buffer.from([0]))],
    ['diffie-hellman-group14-sha256', sshString('')],
    ['diffie-hellman-group14-sha256', sshString(Buffer.from([1]))],
    ['diffie-hellman-group14-sha256', sshString(Buffer.alloc(256, 255))],
    ['diffie-hellman-group14-sha256', sshString(Buffer.alloc(30_000, 1))],
  ];
  for (const [kex, value] of badValues) {
    test(`${kex}: a public value of ${value.length - 4} bad bytes is reason 3`, async () => {
      const { client } = await connected({ kex });
      await client.open();
      client.send(message(30, value));
      assert.deepEqual(await client.farewell(), { reason: 3, text: 'Key exchange failed' });
    });
  }

  test('a value with bytes behind it, and a truncated one, are reason 2', async () => {
    for (const bad of [Buffer.concat([sshString(Buffer.alloc(32, 1)), ignore]), uint32(32)]) {
      const { client } = await connected();
      await client.open();
      client.send(message(30, bad));
      assert.equal((await client.farewell())?.reason, 2);
    }
  });
});
