/**
 * Tokens and MICs that are broken, stolen, replayed, for somebody or something else, against the
 * real acceptor and a real KDC. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import fs, { readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import {
  GssInitiator,
  type InitiatorOptions,
  kerberosOid,
  noInitiator,
  spnegoOid,
} from '../support/gss-initiator.ts';
import { noRealm, Realm } from '../support/kerberos.ts';
import { inLab, makeUser } from '../support/lab.ts';
import { byte, Fields, payload, RawSsh, str, u32 } from '../support/raw-ssh.ts';
import { processTree, serverKind, startServer, type TestServer } from '../support/server.ts';

const lab = inLab(import.meta.url, 240_000);
const missing = noRealm() ?? noInitiator();
const method = 'gssapi-with-mic';
const der: Readonly<Record<string, string>> = {
  [kerberosOid]: '06092a864886f712010202',
  [spnegoOid]: '06062b0601050502',
};
const [request, failure, success] = [50, 51, 52];
const [response, token, complete, errorToken, mic] = [60, 61, 63, 65, 66];

describe('Kerberos, bent', {
  ...lab,
  skip: lab.skip === false ? (missing ?? false) : lab.skip,
}, () => {
  let realm: Realm;
  let server: TestServer;
  let tickets: string;

  before(async () => {
    realm = await Realm.start();
    realm.addUser('alice', 'secret');
    realm.addUser('bob', 'other');
    makeUser('alice');
    makeUser('bob');
    tickets = realm.tickets('alice', 'secret');
    server = await startServer({
      config: [
        'UsePAM yes',
        'GSSAPIAuthentication yes',
        'MaxAuthTries 20',
        'PerSourcePenalties no',
        'LogLevel VERBOSE',
      ].filter((line) => serverKind !== 'sshd' || !line.startsWith('PerSource')),
    });
  });
  after(async () => {
    await server?.stop();
    await realm?.stop();
  });

  const begin = async (): Promise<RawSsh> => {
    const client = await RawSsh.shaken(server.port);
    await client.requestUserauth();
    return client;
  };
  const initiator = (more: Partial<InitiatorOptions> = {}): GssInitiator =>
    new GssInitiator({ host: realm.host, tickets, ...more });
  const ask = (client: RawSsh, user: string, ...oids: readonly Buffer[]): void =>
    client.send(
      payload(
        request,
        str(user),
        str('ssh-connection'),
        str(method),
        u32(oids.length),
        ...oids.map(str),
      ),
    );
  const oid = (name: string): Buffer => Buffer.from(der[name] as string, 'hex');
  const signedFor = (client: RawSsh, user: string): Buffer =>
    Buffer.concat([
      str(client.sessionId as Buffer),
      byte(request),
      ...[str(user), str('ssh-connection'), str(method)],
    ]);

  /** Up to the point where the MIC is wanted; the numbers that came. */
  async function exchange(client: RawSsh, user: string, gss: GssInitiator): Promise<number> {
    ask(client, user, oid(kerberosOid));
    const chosen = new Fields(await client.nextOf(response, failure));
    assert.deepEqual(chosen.str(), oid(kerberosOid));
    client.send(payload(token, str(await gss.step())));
    const answer = await client.nextOf(token, failure, errorToken);
    if (answer[0] === token) {
      await gss.step(new Fields(answer).str());
    }
    return answer[0] as number;
  }

  const verdict = async (client: RawSsh): Promise<number> =>
    (await client.nextOf(success, failure))[0] as number;

  test('the exchange as it should be', async () => {
    using client = await begin();
    using gss = initiator();
    assert.equal(await exchange(client, 'alice', gss), token);
    client.send(payload(mic, str(await gss.mic(signedFor(client, 'alice')))));
    assert.equal(await verdict(client), success);
  });

  test('the MIC of another connection, of another user, of nothing, and broken ones', async () => {
    using other = await begin();
    using client = await begin();
    const wrong: readonly (readonly [string, (gss: GssInitiator) => Promise<Buffer>])[] = [
      ['another session', (gss) => gss.mic(signedFor(other, 'alice'))],
      ['another user', (gss) => gss.mic(signedFor(client, 'bob'))],
      ['nothing', async () => Buffer.alloc(0)],
      ['noise', async () => Buffer.alloc(28, 7)],
      [
        'one bit',
        async (gss) => {
          const good = await gss.mic(signedFor(client, 'alice'));
          good.writeUInt8(good.readUInt8(good.length - 1) ^ 1, good.length - 1);
          return good;
        },
      ],
    ];
    for (const [name, make] of wrong) {
      using gss = initiator();
      assert.equal(await exchange(client, 'alice', gss), token, name);
      client.send(payload(mic, str(await make(gss))));
      assert.equal(await verdict(client), failure, name);
    }
    await server.logged(/GSSAPI MIC check failed/);
  });

  test('EXCHANGE_COMPLETE in place of a MIC, with and without integrity', async () => {
    using client = await begin();
    using gss = initiator();
    assert.equal(await exchange(client, 'alice', gss), token);
    client.send(payload(complete));
    // sshd does not know this message where a MIC is wanted, and says nothing more.
    const ending = await client.ending();
    assert.ok(!ending.messages.some(([number]) => number === success));
  });

  test('somebody else’s ticket', async () => {
    using client = await begin();
    using gss = initiator({ tickets: realm.tickets('bob', 'other') });
    assert.equal(await exchange(client, 'alice', gss), token);
    client.send(payload(mic, str(await gss.mic(signedFor(client, 'alice')))));
    assert.equal(await verdict(client), failure);
  });

  test('a token a second time', async () => {
    using first = await begin();
    using gss = initiator();
    const stolen = await gss.step();
    for (const isFirst of [true, false]) {
      using client = await begin();
      ask(client, 'alice', oid(kerberosOid));
      await client.nextOf(response);
      client.send(payload(token, str(stolen)));
      const answer = await client.nextOf(token, failure, errorToken);
      assert.equal(answer[0] === token, isFirst, `answered with ${answer[0]}`);
    }
    first.close();
  });

  test('broken tokens: cut, with a bit turned, empty, noise, as large as they may be', async () => {
    using gss = initiator();
    const good = await gss.step();
    const bent = [
      ...[1, 2, 17, good.length >> 1, good.length - 1].map((length) => good.subarray(0, length)),
      ...[0, 1, 4, 20, good.length >> 1, good.length - 3].map((at) => {
        const copy = Buffer.from(good);
        copy.writeUInt8(copy.readUInt8(at) ^ 0x40, at);
        return copy;
      }),
      ...[Buffer.alloc(1), Buffer.alloc(1000, 0x60), Buffer.alloc(30_000, 0xff)],
    ];
    for (const [index, bytes] of bent.entries()) {
      using client = await begin();
      ask(client, 'alice', oid(kerberosOid));
      await client.nextOf(response);
      client.send(payload(token, str(bytes)));
      assert.equal(await verdict(client), failure, `token ${index}`);
    }
  });

  test('a ticket for a service whose key is not here', async () => {
    realm.addService('host/elsewhere.lab.test', '/tmp/elsewhere.keytab');
    using client = await begin();
    using elsewhere = initiator({ host: 'elsewhere.lab.test' });
    ask(client, 'alice', oid(kerberosOid));
    await client.nextOf(response);
    client.send(payload(token, str(await elsewhere.step())));
    assert.equal(await verdict(client), failure);
  });

  test('mechanisms: unknown ones, SPNEGO, broken names, none, and ours behind others', async () => {
    using client = await begin();
    const refused: readonly (readonly Buffer[])[] = [
      [],
      [Buffer.alloc(0)],
      [oid(spnegoOid)],
      [Buffer.from('0609', 'hex')],
      [Buffer.concat([oid(kerberosOid), Buffer.alloc(1)])],
      Array.from({ length: 60 }, () => oid(spnegoOid)),
    ];
    for (const oids of refused) {
      ask(client, 'alice', ...oids);
      assert.equal(await verdict(client), failure, `${oids.length} mechanisms`);
    }
    ask(client, 'alice', oid(spnegoOid), oid(kerberosOid));
    assert.deepEqual(new Fields(await client.nextOf(response, failure)).str(), oid(kerberosOid));
  });

  test('tokens of SPNEGO, under its own name and under that of Kerberos', async () => {
    using client = await begin();
    using negotiating = initiator({ mechanism: spnegoOid });
    const wrapped = await negotiating.step();
    assert.ok(wrapped.includes(oid(spnegoOid)), 'it is one');
    ask(client, 'alice', oid(spnegoOid));
    assert.equal(await verdict(client), failure);
    ask(client, 'alice', oid(kerberosOid));
    await client.nextOf(response);
    client.send(payload(token, str(wrapped)));
    assert.equal(await verdict(client), failure);
  });

  test('messages where they do not belong end the connection or are refused, never let in', async () => {
    const early: readonly (readonly [string, Buffer])[] = [
      ['a token before the request', payload(token, str('x'))],
      ['a MIC before the request', payload(mic, str('x'))],
      ['EXCHANGE_COMPLETE before the request', payload(complete)],
    ];
    for (const [name, bytes] of early) {
      using client = await begin();
      client.send(bytes);
      const { messages } = await client.ending();
      assert.ok(!messages.some(([number]) => number === success), name);
    }
    using client = await begin();
    ask(client, 'alice', oid(kerberosOid));
    await client.nextOf(response);
    client.send(payload(mic, str('x')));
    const { messages } = await client.ending();
    assert.ok(!messages.some(([number]) => number === success));
  });

  // sshd lets it in: its `none` ends nothing.
  const isStricter = { skip: serverKind === 'sshd' ? 'sshd lets it in' : false };
  test(
    'an exchange that is left for another method counts, and its MIC is void',
    isStricter,
    async () => {
      using client = await begin();
      using gss = initiator();
      assert.equal(await exchange(client, 'alice', gss), token);
      const late = await gss.mic(signedFor(client, 'alice'));
      client.send(payload(request, str('alice'), str('ssh-connection'), str('none')));
      assert.equal(await verdict(client), failure);
      client.send(payload(mic, str(late)));
      const { messages } = await client.ending();
      assert.ok(!messages.some(([number]) => number === success));
    },
  );

  test('who leaves at once has passed nothing on that would stay', async () => {
    const leave = async (): Promise<void> => {
      using client = await begin();
      using gss = initiator({ flags: ['mutual', 'integrity', 'delegate'] });
      assert.equal(await exchange(client, 'alice', gss), token);
      client.send(payload(mic, str(await gss.mic(signedFor(client, 'alice')))));
      assert.equal(await verdict(client), success);
    };
    const made = new Set<string>();
    const watch = fs.watch('/tmp', (_event, name) => {
      if (name?.startsWith('krb5cc_') === true) {
        made.add(name);
      }
    });
    for (let round = 0; round < 3; round++) {
      await Promise.all(Array.from({ length: 8 }, leave));
    }
    watch.close();
    assert.ok(made.size > 0, 'tickets were passed on');
  });

  test('nothing is left: no leader, no cache', async () => {
    await eventually('they end', () =>
      processTree(server.pid).every(({ title }) => !/leader/.test(title)),
    );
    assert.deepEqual(
      readdirSync('/tmp').filter((name) => name.startsWith('krb5cc_')),
      [],
    );
  });
});
