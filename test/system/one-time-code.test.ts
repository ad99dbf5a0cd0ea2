/**
 * A key and a one-time code: publickey,keyboard-interactive with Debian's pam_oath and
 * pam_google_authenticator. The codes are computed here (RFC 6238). Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { FactorClient, type Reply } from '../support/factors.ts';
import {
  authorize,
  inLab,
  type LabUser,
  makeKey,
  makeUser,
  writePamService,
} from '../support/lab.ts';
import { base32, totp } from '../support/one-time-code.ts';
import { makeRawKey } from '../support/raw-ssh.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 200_000);
const key = makeRawKey();
const next = 'partial: keyboard-interactive';

interface Module {
  readonly name: string;
  readonly file: string;
  readonly arguments: string;
  readonly prompt: RegExp;
  /** Who has no record may be let through. */
  readonly hasNullok: boolean;
  enrol(user: LabUser, secret: Buffer): void;
}

const oathUsers = '/etc/users.oath';
const modules: readonly Module[] = [
  {
    name: 'pam_oath',
    file: 'pam_oath.so',
    arguments: `usersfile=${oathUsers} window=20 digits=6`,
    prompt: /^One-time password \(OATH\)/,
    hasNullok: false,
    enrol(user, secret) {
      const before = existsSync(oathUsers) ? readFileSync(oathUsers, 'utf8') : '';
      writeFileSync(oathUsers, `${before}HOTP/T30/6 ${user.name} - ${secret.toString('hex')}\n`);
      chmodSync(oathUsers, 0o600);
    },
  },
  {
    name: 'pam_google_authenticator',
    file: 'pam_google_authenticator.so',
    arguments: '',
    prompt: /^Verification code:/,
    hasNullok: true,
    enrol(user, secret) {
      const file = `${user.home}/.google_authenticator`;
      const options = ['" DISALLOW_REUSE', '" TOTP_AUTH', '" WINDOW_SIZE 17'];
      writeFileSync(file, `${[base32(secret), ...options].join('\n')}\n`);
      chownSync(file, user.uid, user.gid);
      chmodSync(file, 0o400);
    },
  },
];

for (const module of modules) {
  const isThere = ['/lib/x86_64-linux-gnu', '/lib/aarch64-linux-gnu', '/lib'].some((folder) =>
    existsSync(`${folder}/security/${module.file}`),
  );
  const skip = lab.skip === false && !isThere ? `${module.file} is not installed` : lab.skip;

  describe(`a key and a code of ${module.name}`, { ...lab, skip }, () => {
    const secret = randomBytes(20);
    const counts = `/tmp/counts-${module.name}`;
    const name = `u${module.name.slice(4, 8)}`;
    let server: TestServer;
    let stock: ReturnType<typeof makeKey>;
    // A code counts once; each login takes the one of another step of the window.
    let step = -6;
    const code = () => totp(secret, ++step);

    before(async () => {
      stock = makeKey('ed25519');
      const lines = [key.line, stock.line];
      module.enrol(makeUser(name, { authorizedKeys: lines }), secret);
      authorize(makeUser(`${name}-bare`), lines);
      writePamService('sshd', [
        `auth required @lab count=${counts}`,
        `auth required ${module.file} ${module.arguments}`,
        'account required pam_unix.so',
        'session required pam_permit.so',
      ]);
      server = await startServer({
        config: [
          'UsePAM yes',
          'KbdInteractiveAuthentication yes',
          'PasswordAuthentication no',
          'AuthenticationMethods publickey,keyboard-interactive:pam',
        ],
      });
    });
    after(async () => await server?.stop());

    const opened = async (user = name): Promise<FactorClient> => {
      const client = await FactorClient.open(server.port, user);
      assert.equal(await client.none(), 'refused: publickey');
      return client;
    };
    const withKey = async (answer: string, user = name): Promise<Reply> => {
      using client = await opened(user);
      assert.equal(await client.sign(key), next);
      return (await client.keyboard([answer])).reply;
    };

    test('both log in; PAM is asked once', async () => {
      using client = await opened();
      assert.equal(await client.sign(key), next);
      const before = existsSync(counts) ? readFileSync(counts, 'utf8').length : 0;
      const { reply, shown } = await client.keyboard([code()]);
      assert.equal(reply, 'accepted');
      assert.equal(shown.length, 1);
      assert.match(shown[0] as string, module.prompt);
      assert.equal(await client.raw.exec('id -un'), `${name}\n`);
      const calls = readFileSync(counts, 'utf8').slice(before).trim().split('\n');
      assert.equal(calls.filter((line) => line.startsWith('auth ')).length, 1, calls.join('\n'));
    });

    test('neither is enough alone', async () => {
      using client = await opened();
      const { reply, shown } = await client.keyboard([code()]);
      assert.deepEqual([reply, shown], ['refused: publickey', []]);
      assert.equal(await client.sign(makeRawKey()), 'refused: publickey');
    });

    test('a wrong code is refused, and asked for again', async () => {
      using client = await opened();
      assert.equal(await client.sign(key), next);
      for (const wrong of ['000000', 'no code', '']) {
        assert.equal((await client.keyboard([wrong])).reply, 'refused: keyboard-interactive');
      }
      assert.equal((await client.keyboard([code()])).reply, 'accepted');
    });

    test('a code counts once', async () => {
      const used = code();
      assert.equal(await withKey(used), 'accepted');
      assert.equal(await withKey(used), 'refused: keyboard-interactive');
    });

    test('PAINS 12: who has no record is refused, whatever is answered', async () => {
      for (const answer of [code(), '000000', '']) {
        assert.equal(await withKey(answer, `${name}-bare`), 'refused: keyboard-interactive');
      }
    });

    test('Debian’s ssh: the key by itself, the code from the person', async () => {
      const askpass = `/tmp/askpass-${module.name}`;
      writeFileSync(askpass, `#!/bin/sh\necho ${code()}\n`);
      chmodSync(askpass, 0o755);
      const outcome = await ssh(
        server,
        {
          user: name,
          args: ['-i', stock.file],
          environment: { SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force', DISPLAY: ':0' },
        },
        'id -un',
      );
      assert.deepEqual([outcome.text, outcome.status], [`${name}\n`, 0], outcome.stderr);
    });

    test('the log tells a partial and a full login apart', async () => {
      await server.logged(
        new RegExp(
          `Accepted keyboard-interactive/pam for ${name} from 127\\.0\\.0\\.1 port \\d+ ssh2`,
        ),
      );
      assert.doesNotMatch(server.log(), /Accepted publickey/);
      assert.doesNotMatch(server.log(), new RegExp(`Accepted .* for ${name}-bare`));
    });

    if (!module.hasNullok) {
      return;
    }
    test('PAINS 10: with nullok who has no record is asked nothing more', async () => {
      writePamService('sshd', [
        `auth required ${module.file} nullok`,
        'auth required pam_permit.so',
        'account required pam_unix.so',
        'session required pam_permit.so',
      ]);
      using client = await opened(`${name}-bare`);
      assert.equal(await client.sign(key), next);
      const { reply, shown } = await client.keyboard([]);
      assert.deepEqual([reply, shown], ['accepted', []]);
    });
  });
}
