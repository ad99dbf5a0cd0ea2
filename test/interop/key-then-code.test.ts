/**
 * A key on a card, a FIDO key, a ticket, and a one-time code of pam_oath behind each, by Debian's ssh;
 * and that one code is enough for all that is done on a connection. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Card, noCard } from '../support/card.ts';
import { greetRfb, openSubsystem, startDesktopServer } from '../support/desktop-session.ts';
import { noRealm, Realm } from '../support/kerberos.ts';
import {
  authorize,
  checkout,
  inLab,
  type LabUser,
  makeKey,
  makeUser,
  run,
  type TestKey,
  writePamService,
} from '../support/lab.ts';
import { totp } from '../support/one-time-code.ts';
import { DialogueClient } from '../support/reauthentication.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { copy, remote, ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 170_000);
const module = ['/lib/x86_64-linux-gnu', '/lib/aarch64-linux-gnu', '/lib']
  .map((folder) => `${folder}/security/pam_oath.so`)
  .find((file) => existsSync(file));
const provider = '/tmp/sk_software.so';
const counts = '/tmp/counts-code';
const wanted = 'One-time password (OATH)';

describe('a key of any kind, then a code', {
  ...lab,
  skip: lab.skip === false && module === undefined ? 'pam_oath.so is not installed' : lab.skip,
}, () => {
  const secret = randomBytes(20);
  let alice: LabUser;
  let key: TestKey;
  // A code counts once; each login takes the one of another step of the window.
  let step = -12;
  const code = (): string => totp(secret, ++step);

  before(() => {
    key = makeKey('ed25519');
    alice = makeUser('alice', { authorizedKeys: [key.line] });
    const users = '/etc/users.oath';
    writeFileSync(users, `HOTP/T30/6 alice - ${secret.toString('hex')}\n`);
    chmodSync(users, 0o600);
    writePamService('sshd', [
      `auth required @lab count=${counts}`,
      `auth required pam_oath.so usersfile=${users} window=20 digits=6`,
      'account required pam_unix.so',
      'session required pam_permit.so',
    ]);
  });

  const chain = (...methods: readonly string[]): readonly string[] => [
    ...['UsePAM yes', 'KbdInteractiveAuthentication yes', 'PasswordAuthentication no'],
    ...['LogLevel VERBOSE', 'PerSourcePenalties no', `AuthenticationMethods ${methods.join(',')}`],
  ];
  /** Answers what is asked for the words in it, nothing else; `asked` are the questions. */
  const askpass = (answers: Readonly<Record<string, string>>) => {
    const file = path.join(mkdtempSync('/tmp/askpass-'), 'askpass');
    const cases = Object.entries(answers).map(
      ([words, answer]) => `*'${words}'*) echo ${answer};;`,
    );
    writeFileSync(
      file,
      `#!/bin/sh\nprintf '%s\\n' "$1" >>${file}.log\ncase "$1" in ${cases.join(' ')} *) exit 1;; esac\n`,
    );
    chmodSync(file, 0o755);
    return {
      environment: { SSH_ASKPASS: file, SSH_ASKPASS_REQUIRE: 'force', DISPLAY: ':0' },
      asked: () => (existsSync(`${file}.log`) ? readFileSync(`${file}.log`, 'utf8') : ''),
    };
  };
  const authentications = (): number =>
    existsSync(counts) ? (readFileSync(counts, 'utf8').match(/^auth /gm)?.length ?? 0) : 0;

  describe('a key behind a key', () => {
    let server: TestServer;
    before(async () => {
      server = await startServer({ config: chain('publickey', 'keyboard-interactive') });
    });
    after(async () => {
      await server?.stop();
      authorize(alice, [key.line]);
    });

    /** In with a right code, and not with a wrong one. */
    const shows = async (
      args: readonly string[],
      place: Readonly<Record<string, string>>,
      answers: Readonly<Record<string, string>>,
      questions: RegExp,
    ): Promise<void> => {
      for (const [answer, isIn] of [
        ['000000', false],
        [code(), true],
      ] as const) {
        const { environment, asked } = askpass({ ...answers, [wanted]: answer });
        const outcome = await ssh(
          server,
          {
            user: 'alice',
            args: [...args, '-o', 'NumberOfPasswordPrompts=1'],
            environment: { ...place, ...environment },
          },
          'id -un',
        );
        assert.deepEqual(
          [outcome.status, outcome.text],
          isIn ? [0, 'alice\n'] : [255, ''],
          outcome.stderr,
        );
        assert.match(asked(), questions);
      }
      await server.logged(/Partial publickey for alice from .* ssh2: /);
      await server.logged(/Accepted keyboard-interactive\/pam for alice from /);
    };

    test('on a card, by ssh -I', { skip: noCard() ?? false }, async () => {
      const card = new Card();
      card.makeKey('EC:prime256v1', '01');
      authorize(alice, card.keys());
      await shows(
        ['-o', 'IdentitiesOnly=no', '-I', card.module],
        card.place,
        { PIN: card.pin },
        /^Enter PIN for 'card': \n\(alice@127\.0\.0\.1\) One-time password \(OATH\) for `alice': \n$/,
      );
    });

    const header = '/usr/include/openssl/evp.h';
    const skip = existsSync(header) ? false : `${header} is missing (libssl-dev)`;
    test('on a FIDO authenticator', { skip }, async () => {
      const source = path.join(checkout, 'test/lab/sk_software.c');
      run('cc', ['-Wall', '-O1', '-shared', '-fPIC', '-o', provider, source, '-lcrypto']);
      const file = path.join(mkdtempSync('/tmp/fido-'), 'id_sk');
      const make = ['-q', '-t', 'ed25519-sk', '-w', provider, '-N', '', '-f', file];
      run('ssh-keygen', make);
      authorize(alice, [readFileSync(`${file}.pub`, 'utf8').trim()]);
      await shows(
        ['-o', `SecurityKeyProvider=${provider}`, '-i', file],
        {},
        {},
        /^(?:Confirm user presence[^\n]*\n(?:[^\n]*\n)?)?\(alice@127\.0\.0\.1\) One-time password \(OATH\) for `alice': \n$/,
      );
    });
  });

  test('a ticket, then a code', { skip: noRealm() ?? false }, async () => {
    const realm = await Realm.start();
    realm.addUser('alice', 'secret');
    try {
      await using server = await startServer({
        config: [...chain('gssapi-with-mic', 'keyboard-interactive'), 'GSSAPIAuthentication yes'],
      });
      const tickets = { KRB5CCNAME: realm.tickets('alice', 'secret') };
      const right = code();
      for (const [answer, status] of [
        ['000000', 255],
        [right, 0],
        [right, 255],
      ] as const) {
        const { environment, asked } = askpass({ [wanted]: answer });
        const outcome = await ssh(
          server,
          {
            user: 'alice',
            args: [
              ...['-o', 'PreferredAuthentications=gssapi-with-mic,keyboard-interactive'],
              ...['-o', 'NumberOfPasswordPrompts=1', ...realm.clientArguments(server.port)],
            ],
            environment: { ...tickets, ...environment },
          },
          'id -un',
        );
        assert.equal(outcome.status, status, `${answer}: ${outcome.stderr}`);
        assert.equal(asked().split('\n').length - 1, 1, asked());
      }
      await server.logged(/Partial gssapi-with-mic for alice/);
      await server.logged(/Accepted keyboard-interactive\/pam for alice/);
    } finally {
      await realm.stop();
    }
  });

  test('one code for a login, its commands, files and desktop; another when it is resumed', async () => {
    await using server = await startDesktopServer('exec xterm', {
      config: [...chain('publickey', 'keyboard-interactive'), 'Subsystem sftp internal-sftp'],
      desktops: ['DesktopReauth resume'],
    });
    const used = code();
    const before = authentications();
    const { environment, asked } = askpass({ [wanted]: used });
    const socket = `/tmp/master-${process.pid}`;
    const args = ['-o', 'PreferredAuthentications=publickey,keyboard-interactive'];
    const master = ['-o', 'ControlMaster=auto', '-o', `ControlPath=${socket}`];
    const login = { user: 'alice', key, environment, args: [...args, ...master] };
    const desktop = openSubsystem(server, 'rfb', login);
    await greetRfb(desktop);
    assert.equal((await ssh(server, login, 'id -un')).text, 'alice\n');
    const file = path.join(alice.home, '.profile');
    const fetched = await copy('sftp', server, login, remote(file), '/tmp/fetched-profile');
    assert.equal(fetched.status, 0, fetched.stderr);
    assert.deepEqual(readFileSync('/tmp/fetched-profile'), readFileSync(file));
    assert.deepEqual(
      [authentications() - before, asked().split('\n').length - 1],
      [1, 1],
      'PAM and the person were asked once',
    );
    desktop.child.stdin.end();
    await desktop.status;

    // A login of its own, with a code of its own; then what opens the desktop is neither of the two.
    const second = code();
    const again = askpass({ [wanted]: second });
    const alone = { user: 'alice', key, args, environment: again.environment };
    using client = await DialogueClient.open(server, alone);
    const listed = await client.say('listsession --type="unix-desktop"');
    assert.ok(listed.is === 'reply');
    const [id = ''] = /[0-9A-F]{32}/.exec(listed.text) ?? [];
    for (const [answer, isIn] of [
      [second, false],
      [used, false],
      [code(), true],
    ] as const) {
      const turns = await client.restore(id, [answer]);
      const [asks, last] = turns;
      assert.ok(asks?.is === 'question' && last?.is === 'reply');
      assert.equal(asks.text.toString(), "One-time password (OATH) for `alice': ");
      assert.match(last.text, isIn ? /^NX> 710 /m : /^NX> 404 /m, answer);
    }
  });
});
