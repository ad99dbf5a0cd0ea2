/**
 * Incidents of other servers in the login itself: whose key counts, who is asked, how often, and
 * what answers tell of accounts. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFileSync, chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { before, describe } from 'node:test';
import { FactorClient } from '../../support/factors.ts';
import { assertEnded, incidentScene, type Site } from '../../support/incident.ts';
import { authorize, findUser, inLab, makeUser, run } from '../../support/lab.ts';
import { makeRawKey, no, payload, RawSsh, str, u32, yes } from '../../support/raw-ssh.ts';
import { serverKind } from '../../support/server.ts';
import { keyboardInteractive } from '../../support/userauth.ts';

const lab = inLab(import.meta.url, 300_000);
const secret = 'the-right-word-7';
const [first, second, nobodys] = [makeRawKey(), makeRawKey(), makeRawKey()];
/** An account whose name is a path, for a server that makes paths of names. */
const traversal = '../outside';

describe('who it is', lab, () => {
  const { incident, key } = incidentScene({
    config: [
      'KbdInteractiveAuthentication yes',
      'PasswordAuthentication yes',
      'AuthorizedKeysFile .ssh/authorized_keys /etc/keys-of/%u',
      'AllowUsers alice keys locked root ?*/*',
      'MaxAuthTries 4',
    ],
    removals: [
      {
        file: 'src/ssh/transport/server-transport.ts',
        check: 'if (this.#isFirstExchange && this.#engine.isStrict) {',
        instead: 'if (this.#isClosed) {',
      },
      {
        file: 'src/ssh/userauth/service.ts',
        check: '!this.#first.user.equals(request.claimedUser) ||',
        instead: '',
      },
      {
        file: 'src/monitor/candidate.ts',
        check: '!/[\\u0000-\\u001f\\u007f/]/.test(text) &&',
        instead: '',
      },
      {
        file: 'src/policy/authorized-keys-files.ts',
        check: 'if (!isPathSafeUser(account.user)) {',
        instead: 'if (account.user === "") {',
      },
    ],
  });

  before(() => {
    const keys = makeUser('keys');
    authorize(keys, [
      `command="echo first; id -un" ${first.line}`,
      `command="echo second; id -un" ${second.line}`,
    ]);
    makeUser('locked', { password: secret, authorizedKeys: [key.line] });
    run('passwd', ['-l', 'locked']);
    const { uid, gid } = makeUser('outside');
    appendFileSync('/etc/passwd', `${traversal}:x:${uid}:${gid}::/home/outside:/bin/sh\n`);
    appendFileSync('/etc/shadow', `${traversal}:*:19000:0:99999:7:::\n`);
    mkdirSync('/etc/keys-of', { mode: 0o755 });
    writeFileSync('/etc/outside', `${key.line}\n`);
    chmodSync('/etc/outside', 0o644);
  });

  const asked = async (site: Site, user: string): Promise<FactorClient> =>
    await FactorClient.open(site.port, user);

  // ---- 5 ----

  const intruders: readonly (readonly [string, Buffer])[] = [
    ['EXT_INFO', payload(7, u32(1), str('server-sig-algs'), str('ssh-ed25519'))],
    ['IGNORE', payload(2, str(''))],
    ['DEBUG', payload(4, no, str(''), str(''))],
    ['SERVICE_REQUEST', payload(5, str('ssh-userauth'))],
    ['USERAUTH_REQUEST', payload(50, str('alice'), str('ssh-connection'), str('none'))],
  ];
  incident(
    'CVE-2023-46445: a message put in before NEWKEYS ends the connection, whatever it is',
    async (site) => {
      for (const [name, bytes] of intruders) {
        using client = await site.identified();
        client.sendKexInit();
        client.send(bytes);
        let reached: RawSsh | undefined;
        try {
          await client.finishExchange();
          reached = client;
        } catch (error) {
          // Closed, or told why: both are what is wanted.
          assert.ok(error instanceof Error);
        }
        assert.equal(reached, undefined, `${name} was let pass`);
      }
    },
    { seen: true },
  );

  incident(
    'CVE-2023-46446: a request for another user behind success changes nothing',
    async (site) => {
      using client = await site.loggedIn();
      client.send(client.signedRequest('keys', first));
      client.send(client.signedRequest('root', key));
      client.send(payload(50, str('keys'), str('ssh-connection'), str('none')));
      assert.equal(await client.exec('id -un'), 'alice\n');
    },
  );

  // ---- 7 ----

  incident('CVE-2024-45337: the key that signed counts, whatever was asked about', async (site) => {
    for (const [queries, signer, word] of [
      [[first, second], second, 'second'],
      [[second, first], second, 'second'],
      [[first, second], first, 'first'],
      [[second], first, 'first'],
      [[], first, 'first'],
    ] as const) {
      using client = await asked(site, 'keys');
      for (const query of queries) {
        assert.equal(await client.query(query), 'acceptable');
      }
      assert.equal(await client.sign(signer), 'accepted');
      assert.equal(await client.raw.exec('x'), `${word}\nkeys\n`);
    }
    using client = await asked(site, 'keys');
    assert.equal(await client.query(first), 'acceptable');
    assert.match(
      await client.sign(nobodys),
      /^refused/,
      'asked with a good key, signed with another',
    );
    // The good key's blob under a signature of another.
    const forged = client.raw.signedRequest('keys', { ...nobodys, blob: first.blob });
    client.raw.send(forged);
    assert.equal((await client.raw.nextOf(51, 52))[0], 51);
  });

  // ---- 13 ----

  const methods = [
    ...['none', 'hostbased', 'gssapi', 'gssapi-keyex', 'gssapi-with-mic', 'external-keyx'],
    ...['publickey-hostbound-v00@openssh.com', 'PUBLICKEY', 'pass word', '', 'x'.repeat(64)],
  ];
  incident(
    'CVE-2020-29652, CVE-2022-27191, CVE-2026-39835: methods that are not set up are refused, whatever comes with them',
    async (site) => {
      const data = [
        [],
        [str('')],
        [u32(1), str(Buffer.from('06092a864886f712010202', 'hex'))],
        [str('ssh-rsa'), str(randomBytes(300)), str('host'), str('user'), str(randomBytes(64))],
        [randomBytes(64)],
        [u32(0xffff_ffff)],
      ];
      for (const method of methods) {
        for (const fields of data) {
          using client = await asked(site, 'alice');
          const reply = await client.method(method, ...fields);
          assert.match(reply, /^(refused: publickey,password,keyboard-interactive|closed( 2: |$))/);
          if (reply.startsWith('refused')) {
            assert.equal(await client.sign(key), 'accepted', `${method} in front`);
          }
        }
      }
    },
  );

  // ---- 14 ----

  incident(
    'CVE-2015-5600: thousands of devices in one keyboard-interactive request are one try',
    async (site) => {
      for (const list of [
        Array.from({ length: 10_000 }, () => 'pam').join(','),
        Array.from({ length: 2_000 }, (_, at) => `pam,dev${at}`).join(','),
      ]) {
        using client = await site.asking();
        let prompts = 0;
        for (let request = 0; ; request++) {
          assert.ok(request < 10, 'the tries have no end');
          const dialogue = await keyboardInteractive(client, 'alice', ['wrong'], list);
          prompts += dialogue.rounds.flatMap((round) => round.prompts).length;
          if (dialogue.outcome === 'closed') {
            break;
          }
          assert.equal(dialogue.outcome, 'refused');
        }
        assert.ok(prompts <= 4, `${prompts} guesses on one connection`);
      }
    },
  );

  // ---- 15, 16 ----

  const people = ['alice', 'nobody-such', 'bob', 'locked', 'root'];
  incident(
    'OpenSSH 5d04ca6af, d43ba60c9: what is no method here counts like a failure, for everybody',
    async (site) => {
      for (const user of people) {
        for (const method of ['gssapi-with-mic', 'gssapi-keyex']) {
          using client = await asked(site, user);
          const mechanism = str(Buffer.from('06092a864886f712010202', 'hex'));
          const replies: string[] = [];
          for (let request = 0; request < 4; request++) {
            replies.push(await client.method(method, u32(1), mechanism));
          }
          const refused = 'refused: publickey,password,keyboard-interactive';
          assert.deepEqual(replies, [
            ...[refused, refused, refused],
            'closed 2: Too many authentication failures',
          ]);
        }
      }
    },
  );

  // ---- 17 ----

  incident(
    'CVE-2018-15473, CVE-2016-6210: every method answers everybody alike, and malformed requests too',
    async (site) => {
      const attempts: readonly ((client: FactorClient) => Promise<unknown>)[] = [
        async (client) => [await client.none(), await client.method('none', str('more'))],
        async (client) => await client.query(nobodys),
        async (client) => await client.sign(nobodys),
        async (client) => await client.password('wrong'),
        async (client) => await client.password(''),
        async (client) => await client.keyboard(['wrong']),
        async (client) => await client.method('password', yes, str('old'), str('new')),
        // CVE-2018-15473: a request cut off within the key was answered for unknown users only.
        async (client) => await client.method('publickey', yes, str('ssh-ed25519')),
        async (client) =>
          await client.method('publickey', no, str('ssh-ed25519'), u32(5000), randomBytes(8)),
        async (client) =>
          await client.method('publickey', no, str('ssh-rsa'), str(randomBytes(40))),
        async (client) => await client.method('hostbased', str('ssh-rsa')),
      ];
      for (const [index, attempt] of attempts.entries()) {
        const seen = await Promise.all(
          people.map(async (user) => {
            using client = await asked(site, user);
            return JSON.stringify(await attempt(client)).replaceAll(user, 'USER');
          }),
        );
        assert.deepEqual(new Set(seen).size, 1, `attempt ${index}: ${seen.join(' | ')}`);
      }
    },
  );

  // ---- 18 ----

  incident(
    'CVE-2015-6563, CVE-2015-6564: another user or service than the first ends the connection',
    async (site) => {
      const requests = {
        user: payload(50, str('root'), str('ssh-connection'), str('none')),
        'longer name': payload(50, str('alice2'), str('ssh-connection'), str('none')),
        // sshd reads a name up to its NUL.
        ...(serverKind === 'sshd'
          ? {}
          : { NUL: payload(50, str('alice\0'), str('ssh-connection'), str('none')) }),
      };
      for (const bytes of Object.values(requests)) {
        using client = await asked(site, 'alice');
        assert.match(await client.none(), /^refused/);
        client.raw.send(bytes);
        assertEnded(await client.raw.ending(), 2);
      }
      // In the midst of a dialogue of PAM.
      using client = await asked(site, 'alice');
      client.raw.send(
        payload(
          50,
          ...[str('alice'), str('ssh-connection'), str('keyboard-interactive'), str(''), str('')],
        ),
      );
      await client.raw.nextOf(60);
      client.raw.send(
        payload(50, str('locked'), str('ssh-connection'), str('password'), no, str(secret)),
      );
      assertEnded(await client.raw.ending(), 2);
    },
    { seen: true },
  );

  // ---- 25 ----

  incident(
    'asyncssh 2.23: a user name that is a path reaches no file',
    async (site) => {
      using client = await asked(site, traversal);
      assert.match(await client.query(key), /^refused/);
      assert.match(await client.sign(key), /^refused/);
      if (serverKind === 'sshdesk') {
        await site.server.logged(/Invalid user \.\.\/outside from 127\.0\.0\.1/);
      }
    },
    { seen: true },
  );

  incident('asyncssh 2.23: names of every odd kind are refused like any other', async (site) => {
    const names = [
      ...[
        '../alice',
        'a/b',
        './alice',
        '..',
        '.',
        '/etc/passwd',
        'alice\0',
        'alice\nroot',
        ' alice',
      ],
      ...['-oProxyCommand=x', '$(id)', '`id`', '%u', '%n%s', '\u202ealice', 'älice', ''],
      Buffer.from([0xff, 0xfe, 0x00]),
    ];
    for (const name of names) {
      using client = await RawSsh.shaken(site.port);
      await client.requestUserauth();
      const user = name as string;
      client.send(client.signedRequest(user, key));
      assert.equal((await client.nextOf(51, 52))[0], 51, JSON.stringify(name));
      assert.equal(findUser('alice').name, 'alice');
    }
    using client = await RawSsh.shaken(site.port);
    await client.requestUserauth();
    client.send(client.signedRequest('x'.repeat(65_536 - 1000).slice(0, 30_000), key));
    const answer = await client.ending();
    assert.ok(answer.messages.every((message) => message[0] !== 52));
  });
});
