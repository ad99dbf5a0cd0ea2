/**
 * One-time codes of a RADIUS server, as people set them up: a line of pam_radius_auth in front of the
 * system's stack, or alone. Runs in: test, in the lab, with FreeRADIUS.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { FactorClient } from '../support/factors.ts';
import { authorize, inLab, makeUser, writePamService } from '../support/lab.ts';
import { lastingTotp, totp } from '../support/one-time-code.ts';
import { noRadius, Radius, radiusLine, SlowLine } from '../support/radius.ts';
import { makeRawKey } from '../support/raw-ssh.ts';
import { startServer, type TestServer } from '../support/server.ts';

const lab = inLab(import.meta.url, 240_000);
const missing = noRadius();
const secret = randomBytes(20);
const key = makeRawKey();
const rest = [
  'account required pam_nologin.so',
  'account required pam_unix.so',
  'session required pam_unix.so',
];
const base = [
  'UsePAM yes',
  'KbdInteractiveAuthentication yes',
  'MaxAuthTries 10',
  'MaxStartups 200',
  'PerSourcePenalties no',
];

describe('codes of a RADIUS server', {
  ...lab,
  skip: lab.skip === false ? (missing ?? false) : lab.skip,
}, () => {
  let radius: Radius;
  let line: SlowLine;

  const serve = async (service: string, lines: readonly string[]): Promise<TestServer> => {
    writePamService(service, [...lines, ...rest]);
    return startServer({ config: [...base, `PAMServiceName ${service}`] });
  };
  const code = (): string => totp(secret);

  before(async () => {
    radius = await Radius.start(secret);
    line = await SlowLine.open(radius.port, 0);
    makeUser('ruser');
    makeUser('single', { password: 'of the system' });
    authorize(makeUser('keys'), [key.line]);
  });
  after(async () => {
    line?.close();
    await radius?.stop();
  });

  describe('alone: one answer', () => {
    let server: TestServer;
    before(async () => {
      server = await serve('radius-alone', [radiusLine('required', line.port, 3, 'prompt=PIN')]);
    });
    after(async () => await server?.stop());

    test('PIN and code in one prompt, asked once, sent once', async () => {
      using client = await FactorClient.open(server.port, 'single');
      await client.none();
      const before = line.requests;
      const { reply, shown } = await client.keyboard([`9999${code()}`]);
      assert.equal(reply, 'accepted');
      assert.deepEqual(shown, ['PIN:']);
      assert.equal(line.requests, before + 1, 'a code that is used up must not be sent again');
    });

    test('the method password carries them as well', async () => {
      using client = await FactorClient.open(server.port, 'single');
      await client.none();
      assert.equal(await client.password(`9999${code()}`), 'accepted');
    });

    test('a wrong code, a wrong PIN, nothing', async () => {
      using client = await FactorClient.open(server.port, 'single');
      await client.none();
      for (const wrong of [`1234${code()}`, '9999000000', '9999', '']) {
        const { reply } = await client.keyboard([wrong]);
        assert.match(reply, /^refused: .*keyboard-interactive/, wrong);
      }
    });

    test('a challenge behind the PIN: its own words, a second answer', async () => {
      using client = await FactorClient.open(server.port, 'ruser');
      await client.none();
      const { reply, shown } = await client.keyboard(['wikid', code()]);
      assert.equal(reply, 'accepted');
      assert.deepEqual(shown, ['PIN:', 'Enter one-time code:']);
    });

    test('a wrong answer to the challenge', async () => {
      using client = await FactorClient.open(server.port, 'ruser');
      await client.none();
      const { reply } = await client.keyboard(['wikid', '000000', 'x', 'x', 'x']);
      assert.match(reply, /^refused/);
    });
  });

  // Of two modules in a stack the second takes the answer that the first was given, unless it is told not to.
  describe('with the system’s stack: two answers', () => {
    let server: TestServer;
    before(async () => {
      server = await serve('radius-behind', [
        'auth required pam_unix.so',
        radiusLine('required', line.port, 3, 'prompt=PIN force_prompt'),
      ]);
    });
    after(async () => await server?.stop());

    test('the password, then the code', async () => {
      using client = await FactorClient.open(server.port, 'single');
      await client.none();
      const { reply, shown } = await client.keyboard(['of the system', `9999${code()}`]);
      assert.equal(reply, 'accepted');
      assert.deepEqual(shown, ['Password:', 'PIN:']);
    });

    test('each alone is not enough, and which was wrong is not told', async () => {
      using client = await FactorClient.open(server.port, 'single');
      await client.none();
      const told = new Set<string>();
      for (const answers of [
        ['wrong', `9999${code()}`],
        ['of the system', '9999000000'],
      ]) {
        const { reply, shown } = await client.keyboard(answers);
        assert.match(reply, /^refused/);
        told.add(shown.join());
      }
      assert.equal(told.size, 1, [...told].join(' / '));
    });
  });

  // As Debian's stack is: pam_unix takes the answer that another module has asked for.
  describe('in front of the system’s stack', { concurrency: true }, () => {
    const stock = '@include common-auth';
    let services = 0;
    const password = 'of the system';
    before(() => void makeUser('double', { password }));

    /** All attempts at once, each on a connection of its own; the texts that were shown. */
    const shown = async (
      front: string,
      user: string,
      attempts: (
        right: string,
      ) => readonly (readonly [answers: readonly string[], isIn: boolean])[],
    ): Promise<readonly string[]> => {
      await using server = await serve(`radius-front-${services++}`, [front, stock]);
      const right = await lastingTotp(secret);
      const told = await Promise.all(
        attempts(right).map(async ([answers, isIn]) => {
          using client = await FactorClient.open(server.port, user);
          await client.none();
          const { reply, shown: texts } = await client.keyboard(answers);
          assert.match(reply, isIn ? /^accepted/ : /^refused/, answers.join(' / '));
          return texts.join(' ');
        }),
      );
      return [...new Set(told)];
    };

    test('required, with a prompt: the code is the stack’s password too, and nobody gets in', async () => {
      const front = radiusLine('required', line.port, 3, 'prompt=PIN');
      const texts = await shown(front, 'single', (right) => [
        [[`9999${right}`, password], false],
        [[password, `9999${right}`], false],
      ]);
      assert.deepEqual(texts, ['PIN:']);
    });

    test('one answer, the code only: what RADIUS says is the end of it', async () => {
      const front = radiusLine('[success=done default=die]', line.port, 3, 'prompt=PIN');
      const texts = await shown(front, 'single', (right) => [
        [[`9999${right}`], true],
        [[password], false],
        [['9999000000'], false],
      ]);
      assert.deepEqual(texts, ['PIN:']);
    });

    test('sufficient is either of the two: the password alone opens', async () => {
      const front = radiusLine('sufficient', line.port, 3, 'prompt=PIN');
      await shown(front, 'single', (right) => [
        [[`9999${right}`], true],
        [[password], true],
        [['9999000000'], false],
      ]);
    });

    test('required, with the server’s question alone: the code, then the password', async () => {
      const front = radiusLine('required', line.port, 3, 'skip_passwd');
      const texts = await shown(front, 'double', (right) => [
        [[right, password], true],
        [[right, 'wrong'], false],
        [['000000', password], false],
        [[password, right], false],
      ]);
      assert.deepEqual(texts, ['Enter one-time code: Password:'], 'which was wrong is not told');
    });
  });

  describe('a server that is slow, or dead', () => {
    let server: TestServer;
    let slow: SlowLine;
    before(async () => {
      slow = await SlowLine.open(radius.port, 6_000);
      server = await serve('radius-slow', [radiusLine('required', slow.port, 20, 'prompt=PIN')]);
    });
    after(async () => {
      await server?.stop();
      slow?.close();
    });

    test('who has to take the telephone out is waited for; others log in meanwhile', async () => {
      const clients = await Promise.all(
        Array.from({ length: 5 }, () => FactorClient.open(server.port, 'single')),
      );
      try {
        await Promise.all(clients.map((client) => client.none()));
        const before = slow.requests;
        const waiting = clients.map((client) => client.keyboard([`9999${code()}`]));
        let isOver = false;
        void Promise.allSettled(waiting).then(() => (isOver = true));
        await eventually('all of them wait', () => slow.requests === before + clients.length);
        for (let logins = 0; logins < 5; logins++) {
          using other = await FactorClient.open(server.port, 'keys');
          assert.equal(await other.sign(key), 'accepted');
        }
        assert.ok(!isOver, 'the others were in before the first of them');
        for (const { reply } of await Promise.all(waiting)) {
          assert.equal(reply, 'accepted');
        }
        assert.equal(slow.requests, before + clients.length, 'no code was sent twice');
      } finally {
        for (const client of clients) {
          client[Symbol.dispose]();
        }
      }
    });

    test('a dead server is a refusal, and keys open the door meanwhile', async () => {
      const dead = await serve('radius-dead', [radiusLine('required', 9, 1, 'prompt=PIN retry=1')]);
      try {
        using client = await FactorClient.open(dead.port, 'single');
        await client.none();
        const asked = client.keyboard([`9999${code()}`]);
        using other = await FactorClient.open(dead.port, 'keys');
        assert.equal(await other.sign(key), 'accepted');
        assert.match((await asked).reply, /^refused/);
      } finally {
        await dead.stop();
      }
    });
  });
});
