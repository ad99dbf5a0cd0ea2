/**
 * Who somebody is and whether they may log in: PAM's conversation, account and session, the shadow
 * file without PAM. Runs in: test, as root in the lab.
 */
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { pamStyle } from '../../pam/leader-protocol.ts';
import type { PamMessage } from '../../pam/leader-client.ts';
import { CallFailure } from '../../src/ssh/wire/peer.ts';
import {
  inLab,
  type LabUser,
  makeUser,
  run,
  setPassword,
  writePamService,
} from '../support/lab.ts';
import {
  begin,
  type DrivenLeader,
  isAlive,
  until,
  ZygoteDriver,
} from '../support/leader-driver.ts';

const lab = inLab(import.meta.url);

const isErrno = (code: number) => (error: unknown) =>
  error instanceof CallFailure && error.code === code;
const [EBUSY, EPROTO, ENOENT] = [16, 71, 2] as const;
const [success, permissionDenied, authError, userUnknown, tokenRequired, accountExpired] = [
  0, 6, 7, 10, 12, 13,
] as const;

interface Line {
  readonly style: number;
  readonly text: string;
}
const lines = (messages: readonly PamMessage[]): readonly Line[] =>
  messages.map(({ style, text }) => ({ style, text: text.toString() }));

/** Answers the prompts of a conversation from a list of batches; what was shown. */
function answerWith(leader: DrivenLeader, batches: readonly (readonly string[])[]) {
  const shown: (readonly Line[])[] = [];
  let next = 0;
  leader.client.onPrompt = (messages) => {
    shown.push(lines(messages));
    leader.client.answer((batches[next++] ?? []).map((answer) => Buffer.from(answer)));
  };
  return shown;
}

const live = { mode: 0, password: Buffer.alloc(0), allowEmpty: false, refused: false };
const byPassword = (password: string) => ({ ...live, mode: 1, password: Buffer.from(password) });

describe('a login', lab, () => {
  let driver: ZygoteDriver;
  let alice: LabUser;

  before(() => {
    alice = makeUser('alice', { password: 'correct horse', groups: ['games'] });
    makeUser('keyonly');
    makeUser('empty');
    run('usermod', ['-p', '', 'empty']);
    const stack = (options: string) => [
      `auth required @lab ${options}`,
      `account required @lab ${options}`,
      `password required @lab ${options}`,
      `session required @lab ${options}`,
    ];
    writePamService('lab-three', stack('ask=three count=/tmp/pam-calls'));
    writePamService('lab-rounds', stack('ask=rounds:3'));
    writePamService('lab-password', stack('ask=password'));
    writePamService('lab-error', stack('ask=error'));
    writePamService('lab-user', stack('user=mallory'));
    writePamService('lab-delay', stack('ask=password delay=3000'));
    writePamService('lab-refused', stack('fail=account'));
    writePamService('lab-expired', stack('expired'));
    writePamService('lab-session', stack('fail=session'));
    writePamService('sshd', [
      '@include common-auth',
      'account required pam_nologin.so',
      '@include common-account',
      '@include common-session',
      'session required pam_limits.so',
      '@include common-password',
    ]);
    driver = new ZygoteDriver();
  });
  after(() => driver.close());

  async function started(user: string, service: string): Promise<DrivenLeader> {
    const leader = await driver.fork();
    await begin(leader.client, user, service);
    return leader;
  }

  test('begins with what the directory knows of the account', async () => {
    const leader = await driver.fork();
    const account = await begin(leader.client, 'alice', 'sshd');
    assert.deepEqual(
      { ...account, groups: [...account.groups].sort() },
      {
        exists: true,
        user: 'alice',
        uid: alice.uid,
        gid: alice.gid,
        home: '/home/alice',
        shell: '/bin/bash',
        groups: ['alice', 'games'],
        shellState: 0,
        shadowState: 0,
      },
    );
    await assert.rejects(begin(leader.client, 'alice', 'sshd'), isErrno(EPROTO), 'only once');
    await leader.client.end(0);
  });

  test('says whether the shell and the password are usable', async () => {
    makeUser('noshell', { shell: '/no/shell' });
    makeUser('badshell', { shell: '/etc/passwd' });
    makeUser('locked', { password: 'x' });
    run('passwd', ['-l', 'locked']);
    makeUser('gone', { password: 'x' });
    run('chage', ['-E', '1', 'gone']);
    makeUser('stale', { password: 'x' });
    run('chage', ['-d', '0', 'stale']);
    const states: Record<string, readonly number[]> = {};
    for (const user of ['noshell', 'badshell', 'locked', 'gone', 'stale', 'empty', 'keyonly']) {
      const leader = await driver.fork();
      const { shellState, shadowState } = await begin(leader.client, user);
      const { returnCode } = await leader.client.account();
      states[user] = [shellState, shadowState, returnCode];
      await leader.client.end(0);
    }
    assert.deepEqual(states, {
      noshell: [1, 0, success],
      badshell: [2, 0, success],
      locked: [0, 1, permissionDenied],
      gone: [0, 2, accountExpired],
      stale: [0, 3, tokenRequired],
      empty: [0, 4, success],
      keyonly: [0, 0, success],
    });
  });

  test('of nobody gets the same steps and no session', async () => {
    const leader = await driver.fork();
    const account = await begin(leader.client, 'nosuchuser', 'sshd');
    assert.equal(account.exists, false);
    assert.notEqual(account.uid, 0);
    const shown = answerWith(leader, [['whatever']]);
    const { returnCode } = await leader.client.authenticate(live);
    assert.notEqual(returnCode, success);
    assert.deepEqual(shown, [[{ style: pamStyle.promptEchoOff, text: 'Password: ' }]]);
    assert.notEqual((await leader.client.account()).returnCode, success);
    await assert.rejects(leader.client.establish('ssh'), isErrno(ENOENT));
    await leader.client.end(0);
  });

  test('of nobody fails even where the stack lets everybody in', async () => {
    const leader = await driver.fork();
    await begin(leader.client, 'nosuchuser', 'lab-session');
    assert.equal((await leader.client.authenticate(live)).returnCode, permissionDenied);
    assert.equal((await leader.client.account()).returnCode, userUnknown);
    await leader.client.end(0);
  });

  test('by password through pam_unix: right, wrong, and right again on the same handle', async () => {
    const leader = await started('alice', 'sshd');
    assert.equal((await leader.client.authenticate(byPassword('wrong'))).returnCode, authError);
    assert.equal(
      (await leader.client.authenticate(byPassword('correct horse'))).returnCode,
      success,
    );
    assert.notEqual((await leader.client.authenticate(byPassword('correct'))).returnCode, success);
    await leader.client.end(0);
  });

  test('does not sleep after a wrong password, and says what delay was asked for', async () => {
    const leader = await started('alice', 'lab-delay');
    const from = performance.now();
    const { returnCode, delayUs } = await leader.client.authenticate(byPassword('wrong'));
    assert.equal(returnCode, authError);
    assert.ok(performance.now() - from < 1000);
    // libpam varies it by a half at most.
    assert.ok(delayUs >= 1_500_000 && delayUs <= 4_500_000, String(delayUs));
    assert.equal((await leader.client.authenticate(byPassword('secret'))).delayUs, 0);
    await leader.client.end(0);
  });

  test('answers several messages of one call at once and in order', async () => {
    const leader = await started('alice', 'lab-three');
    const shown = answerWith(leader, [['secret', '123456']]);
    assert.equal((await leader.client.authenticate(live)).returnCode, success);
    assert.deepEqual(shown, [
      [
        { style: pamStyle.textInfo, text: 'Two things are asked' },
        { style: pamStyle.promptEchoOff, text: 'Password: ' },
        { style: pamStyle.promptEchoOn, text: 'One-time code: ' },
      ],
    ]);
    answerWith(leader, [['secret', 'wrong']]);
    assert.equal((await leader.client.authenticate(live)).returnCode, authError);
    await leader.client.end(0);
  });

  test('goes through any number of rounds', async () => {
    const leader = await started('alice', 'lab-rounds');
    const shown = answerWith(leader, [['answer-1'], ['answer-2'], ['answer-3']]);
    assert.equal((await leader.client.authenticate(live)).returnCode, success);
    assert.equal(shown.length, 3);
    assert.equal(shown[2]?.[0]?.text, 'This is round 3 of 3');
    await leader.client.end(0);
  });

  test('shows an error text before the prompt that follows it', async () => {
    const leader = await started('alice', 'lab-error');
    const shown = answerWith(leader, [['secret']]);
    assert.equal((await leader.client.authenticate(live)).returnCode, success);
    assert.deepEqual(
      shown[0]?.map(({ style }) => style),
      [pamStyle.errorMessage, pamStyle.promptEchoOff],
    );
    await leader.client.end(0);
  });

  test('by password fails where the stack asks with echo', async () => {
    const leader = await started('alice', 'lab-three');
    assert.notEqual((await leader.client.authenticate(byPassword('secret'))).returnCode, success);
    await leader.client.end(0);
  });

  test('of a refused user fails with the right answers, after the same prompts', async () => {
    const leader = await started('alice', 'lab-three');
    const shown = answerWith(leader, [['secret', '123456']]);
    const { returnCode } = await leader.client.authenticate({ ...live, refused: true });
    assert.equal(returnCode, authError);
    assert.equal(shown.length, 1);
    const { returnCode: again } = await leader.client.authenticate({
      ...byPassword('secret'),
      refused: true,
    });
    assert.notEqual(again, success);
    await leader.client.end(0);
  });

  test('takes an answer with a NUL in it for a wrong one', async () => {
    const leader = await started('alice', 'lab-password');
    assert.equal((await leader.client.authenticate(byPassword('secret\0'))).returnCode, authError);
    assert.equal((await leader.client.authenticate(byPassword('secret'))).returnCode, success);
    await leader.client.end(0);
  });

  test('is not disturbed by an order during the conversation', async () => {
    const leader = await started('alice', 'lab-password');
    const busy = Promise.withResolvers<unknown>();
    leader.client.onPrompt = () => {
      leader.client.account().then(busy.resolve, busy.resolve);
      leader.client.answer([Buffer.from('secret')]);
    };
    const { returnCode } = await leader.client.authenticate(live);
    assert.equal(returnCode, success);
    assert.ok(isErrno(EBUSY)(await busy.promise));
    await leader.client.end(0);
  });

  test('that is given up in the conversation fails, and can be tried again', async () => {
    const leader = await started('alice', 'lab-password');
    leader.client.onPrompt = () => leader.client.answer([], true);
    assert.notEqual((await leader.client.authenticate(live)).returnCode, success);
    answerWith(leader, [['secret']]);
    assert.equal((await leader.client.authenticate(live)).returnCode, success);
    await leader.client.end(0);
  });

  test('whose link ends during the conversation leaves no leader', async () => {
    const leader = await started('alice', 'lab-password');
    leader.client.onPrompt = () => leader.client.drop();
    await assert.rejects(leader.client.authenticate(live));
    await until(() => !isAlive(leader.client.pid), 'the leader has gone');
  });

  test('that is ended during the conversation answers that and leaves no leader', async () => {
    const leader = await started('alice', 'lab-password');
    const ended = Promise.withResolvers<void>();
    leader.client.onPrompt = () => {
      leader.client.end(0).then(ended.resolve, ended.reject);
    };
    await assert.rejects(leader.client.authenticate(live));
    await ended.promise;
    await until(() => !isAlive(leader.client.pid), 'the leader has gone');
  });

  test('is told when a module has changed the user', async () => {
    const leader = await started('alice', 'lab-user');
    const { returnCode, userChanged } = await leader.client.authenticate(live);
    assert.deepEqual([returnCode, userChanged], [success, true]);
    await leader.client.end(0);
  });

  test('learns of a refused and of an expired account, with the texts', async () => {
    const refused = await started('alice', 'lab-refused');
    const account = await refused.client.account();
    assert.equal(account.returnCode, permissionDenied);
    assert.deepEqual(lines(account.messages), [
      { style: pamStyle.errorMessage, text: 'lab: account refused' },
    ]);
    await refused.client.end(0);
    const expired = await started('alice', 'lab-expired');
    const { returnCode, newPasswordRequired } = await expired.client.account();
    assert.deepEqual([returnCode, newPasswordRequired], [tokenRequired, true]);
    assert.equal((await expired.client.changePassword()).returnCode, success);
    await expired.client.end(0);
  });

  test('changes an expired password in the same dialogue', async () => {
    makeUser('dora', { password: 'the old one' });
    run('chage', ['-d', '0', 'dora']);
    const leader = await started('dora', 'sshd');
    assert.equal((await leader.client.authenticate(byPassword('the old one'))).returnCode, success);
    const { newPasswordRequired } = await leader.client.account();
    assert.equal(newPasswordRequired, true);
    const shown = answerWith(leader, [['the old one'], ['Xy7!brandnew'], ['Xy7!brandnew']]);
    const { returnCode } = await leader.client.changePassword();
    assert.equal(returnCode, success, JSON.stringify(shown));
    assert.equal((await leader.client.account()).returnCode, success);
    await leader.client.end(0);
    const again = await started('dora', 'sshd');
    assert.equal((await again.client.authenticate(byPassword('Xy7!brandnew'))).returnCode, success);
    await again.client.end(0);
  });

  test('has its PAM session from establish to end, in one process', async () => {
    rmSync('/tmp/pam-calls', { force: true });
    const leader = await started('alice', 'lab-three');
    answerWith(leader, [['secret', '123456']]);
    await leader.client.authenticate(live);
    await leader.client.account();
    const { setcredCode, sessionCode, environment } = await leader.client.establish(
      '/dev/pts/9',
      'password',
    );
    assert.deepEqual([setcredCode, sessionCode], [success, success]);
    assert.deepEqual(environment.map(String).sort(), [
      'LABCRED=1',
      'LABSESS=tty:/dev/pts/9,rhost:192.0.2.7',
      'SSH_AUTH_INFO_0=password',
      'SSH_CONNECTION=192.0.2.7 4711 192.0.2.1 22',
    ]);
    await assert.rejects(leader.client.establish('ssh'), isErrno(EPROTO), 'only once');
    await leader.client.end(0);
    const calls = readFileSync('/tmp/pam-calls', 'utf8').trim().split('\n');
    assert.deepEqual(
      calls.map((call) => call.split(' ')[0]),
      ['auth', 'account', 'cred', 'open', 'close', 'cred-delete'],
    );
    for (const call of calls) {
      const { pid } = leader.client;
      assert.match(
        call,
        new RegExp(` pid=${pid} tid=${pid} uid=0 user=alice rhost=192\\.0\\.2\\.7 `),
      );
    }
  });

  test('ends its PAM session when the link goes, too', async () => {
    rmSync('/tmp/pam-calls', { force: true });
    const leader = await started('alice', 'lab-three');
    await leader.client.establish('ssh');
    leader.client.drop();
    await until(() => !isAlive(leader.client.pid), 'the leader has gone');
    assert.match(readFileSync('/tmp/pam-calls', 'utf8'), /^close .*\ncred-delete /m);
  });

  test('hears why there is no session, and is not stopped by it', async () => {
    const leader = await started('alice', 'lab-session');
    const { sessionCode, sessionText, messages } = await leader.client.establish('ssh');
    assert.notEqual(sessionCode, success);
    assert.notEqual(sessionText, '');
    assert.equal(lines(messages)[0]?.text, 'lab: session refused');
    await leader.client.end(0);
  });

  test('is kept out by /etc/nologin with its text', async () => {
    run('sh', ['-c', 'echo "closed for the night" > /etc/nologin']);
    try {
      const leader = await started('alice', 'sshd');
      const { returnCode, messages } = await leader.client.account();
      assert.notEqual(returnCode, success);
      assert.match(lines(messages)[0]?.text ?? '', /closed for the night/);
      await leader.client.end(0);
    } finally {
      rmSync('/etc/nologin');
    }
  });

  test('gives limits of pam_limits to the processes of the user', async () => {
    run('sh', ['-c', 'echo "alice hard nofile 777" >> /etc/security/limits.conf']);
    const leader = await driver.fork();
    await leader.enter('alice', 'sshd');
    assert.equal((await leader.run('ulimit -Hn')).stdout, '777\n');
    await leader.client.end(0);
  });

  describe('without PAM', () => {
    test('is let in by the password of the shadow file only', async () => {
      const leader = await started('alice', '');
      assert.equal((await leader.client.authenticate(byPassword('wrong'))).returnCode, authError);
      assert.equal((await leader.client.authenticate(byPassword(''))).returnCode, authError);
      assert.equal(
        (await leader.client.authenticate(byPassword('correct horse'))).returnCode,
        success,
      );
      const refused = { ...byPassword('correct horse'), refused: true };
      assert.equal((await leader.client.authenticate(refused)).returnCode, authError);
      const shown = answerWith(leader, [['correct horse']]);
      assert.equal((await leader.client.authenticate(live)).returnCode, success);
      assert.equal(shown[0]?.[0]?.style, pamStyle.promptEchoOff);
      await leader.client.end(0);
    });

    test('is let in with a hash of another kind', async () => {
      makeUser('yes', { password: 'x' });
      run('chpasswd', ['-c', 'YESCRYPT'], 'yes:correct horse\n');
      const leader = await started('yes', '');
      assert.equal(
        (await leader.client.authenticate(byPassword('correct horse'))).returnCode,
        success,
      );
      await leader.client.end(0);
    });

    test('with an empty password is let in only where that is allowed', async () => {
      const leader = await started('empty', '');
      assert.equal((await leader.client.authenticate(byPassword(''))).returnCode, authError);
      const allowed = { ...byPassword(''), allowEmpty: true };
      assert.equal((await leader.client.authenticate(allowed)).returnCode, success);
      await leader.client.end(0);
    });

    test('of an account without a password never succeeds', async () => {
      setPassword('keyonly', 'x');
      run('usermod', ['-p', '*', 'keyonly']);
      const leader = await started('keyonly', '');
      for (const password of ['', '*', 'x']) {
        const { returnCode } = await leader.client.authenticate({
          ...byPassword(password),
          allowEmpty: true,
        });
        assert.equal(returnCode, authError);
      }
      await leader.client.end(0);
    });

    test('takes as long for somebody unknown as for a wrong password', async () => {
      const users = ['alice', 'nosuchuser', 'keyonly'];
      const leaders = await Promise.all(users.map((user) => started(user, '')));
      // The quickest of each: what a busy machine adds is not the leader's. It may add to one for a
      // while; a difference of the leader's own stays, however often they are asked.
      const quickest = leaders.map(() => Number.POSITIVE_INFINITY);
      const areAlike = (): boolean => Math.max(...quickest) < Math.min(...quickest) * 1.2;
      for (let round = 0; round < 41 || (round < 2_000 && !areAlike()); round++) {
        for (const [i, { client }] of leaders.entries()) {
          const from = performance.now();
          await client.authenticate(byPassword('wrong'));
          quickest[i] = Math.min(quickest[i] as number, performance.now() - from);
        }
      }
      await Promise.all(leaders.map(({ client }) => client.end(0)));
      assert.ok(areAlike(), quickest.join(' '));
    });
  });
});
