/**
 * Modules of PAM that misbehave: texts of every size and kind, other users, processes that end or do
 * not return. The login fails clearly, the log says so, nothing stays behind and nobody else notices.
 * Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { buildPamLab, inLab, makeUser, writePamService } from '../support/lab.ts';
import { Fields, makeRawKey, payload, RawSsh, str, u32 } from '../support/raw-ssh.ts';
import {
  type Holdings,
  readProcFile,
  serverKind,
  startServer,
  type TestServer,
} from '../support/server.ts';
import { type Dialogue, keyboardInteractive, password } from '../support/userauth.ts';

const lab = inLab(import.meta.url, 200_000);
const ours = { skip: serverKind === 'sshd' ? 'sshd has no such bound' : false };

describe('hostile modules of PAM', lab, () => {
  const key = makeRawKey();
  const stock = lab.skip === false ? readFileSync('/etc/pam.d/sshd', 'utf8') : '';
  let server: TestServer;
  let base: Holdings;

  before(async () => {
    makeUser('alice', { password: 'secret', authorizedKeys: [key.line] });
    makeUser('bob', { password: 'secret', authorizedKeys: [key.line] });
    server = await startServer({
      config: ['UsePAM yes', 'KbdInteractiveAuthentication yes', 'LoginGraceTime 3'],
    });
    buildPamLab();
    base = await server.settled();
  });
  after(async () => await server?.stop());
  afterEach(async () => {
    writeFileSync('/etc/pam.d/sshd', stock);
    using client = await RawSsh.loggedIn(server.port, 'bob', key);
    assert.equal(await client.exec('id -un'), 'bob\n', 'somebody else');
    client.close();
    assert.deepEqual(await server.leftovers(base), []);
  });

  const stack = (options: Readonly<Record<string, string>>): void => {
    writePamService('sshd', [
      `auth required @lab ${options['auth'] ?? 'ask=password'}`,
      `account required @lab ${options['account'] ?? ''}`,
      'password required @lab',
      `session required @lab ${options['session'] ?? ''}`,
    ]);
  };
  const asked = async (how: (client: RawSsh) => Promise<Dialogue>): Promise<Dialogue> => {
    using client = await RawSsh.shaken(server.port);
    await client.requestUserauth();
    return await how(client);
  };
  const dialogue = (...answers: string[]): Promise<Dialogue> =>
    asked((client) => keyboardInteractive(client, 'alice', answers));
  /** The lines since `from` that are about a login that failed. */
  const since = (from: number): string => server.log().slice(from);

  test('as many messages as PAM has in one call, all shown in order', async () => {
    stack({ auth: 'ask=many:32' });
    const right = await dialogue('secret');
    assert.equal(right.outcome, 'accepted');
    const wanted = Array.from({ length: 31 }, (_, at) => `line ${at + 1}`);
    assert.deepEqual(right.shown, [...wanted, 'Password:']);
    assert.equal((await dialogue('wrong')).outcome, 'refused');
  });

  test('more messages than PAM has in one call open nothing by themselves', async () => {
    for (const count of [33, 64, 300, 512]) {
      stack({ auth: `ask=many:${count}` });
      assert.equal((await dialogue('wrong')).outcome, 'refused', `${count}`);
      const byWord = await asked((client) => password(client, 'alice', 'wrong'));
      assert.equal(byWord.outcome, 'refused', `${count}`);
    }
  });

  test('a prompt without a text is one', async () => {
    stack({ auth: 'ask=empty' });
    const right = await dialogue('secret');
    assert.equal(right.outcome, 'accepted');
    assert.deepEqual(
      right.rounds.flatMap((round) => round.prompts),
      [['', false]],
    );
    assert.equal((await dialogue('')).outcome, 'refused');
  });

  for (const length of [512, 4096, 32_000, 65_536, 100_000, 1_000_000]) {
    test(`a text of ${length} bytes is shown, as far as there is room, and the login goes on`, async () => {
      stack({ auth: `ask=long:${length}` });
      const { outcome, shown } = await dialogue('secret');
      if (serverKind === 'sshd') {
        assert.ok(['accepted', 'refused', 'closed'].includes(outcome));
        return;
      }
      assert.equal(outcome, 'accepted');
      const text = shown.find((line) => line.startsWith('x')) ?? '';
      assert.match(text, /^x+$/);
      assert.equal(text.length, Math.min(length, 64 * 1024));
      assert.equal(shown.at(-1), 'Password:');
    });
  }

  test('bytes that are no text neither end the dialogue nor reach the log', async () => {
    stack({ auth: 'ask=odd' });
    const from = server.log().length;
    assert.equal((await dialogue('secret')).outcome, 'accepted');
    assert.equal((await dialogue('wrong')).outcome, 'refused');
    stack({ auth: 'ask=odd', account: 'fail=account' });
    assert.notEqual((await dialogue('secret')).outcome, 'accepted');
    await server.logged(/Access denied for user alice by PAM account configuration/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    assert.doesNotMatch(since(from), /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]|password for root/);
  });

  test('a question arrives byte for byte, and is asked once', ours, async () => {
    stack({ auth: 'ask=odd' });
    using client = await RawSsh.shaken(server.port);
    await client.requestUserauth();
    const method = str('keyboard-interactive');
    client.send(payload(50, str('alice'), str('ssh-connection'), method, str(''), str('')));
    const fields = new Fields(await client.nextOf(60));
    const [name, instruction] = [fields.str(), fields.str()];
    fields.str();
    assert.deepEqual([name.length, fields.u32()], [0, 1]);
    const [prompt, echo] = [fields.str(), fields.byte()];
    assert.equal(
      instruction.toString('latin1'),
      'odd \u00ff\u00fe \u001b]0;title\u0007\r\nAccepted password for root\u0001\n',
    );
    assert.equal(prompt.toString('latin1'), '\u001b[31m\u00c0\u0080Password: ');
    assert.equal(echo, 0);
    client.send(payload(61, u32(1), str('secret')));
    assert.equal((await client.nextOf(51, 52, 60))[0], 52);
    client.close();
  });

  for (const how of ['segv', 'abort', 'exit', 'closed'] as const) {
    for (const phase of ['auth', 'account'] as const) {
      test(
        `a module that ends its process (${how}) in ${phase}: refused by every method, told once`,
        ours,
        async () => {
          stack({ [phase]: `ask=password die=${phase}:${how}` });
          const ways: Readonly<Record<string, () => Promise<Dialogue['outcome']>>> = {
            password: async () => (await asked((one) => password(one, 'alice', 'secret'))).outcome,
            dialogue: async () => (await dialogue('secret')).outcome,
            ...(phase === 'auth' ? {} : { key: byKey }),
          };
          for (const [name, way] of Object.entries(ways)) {
            const from = server.log().length;
            const began = Date.now();
            assert.notEqual(await way(), 'accepted', name);
            assert.ok(Date.now() - began < 5_000, `${name}: took ${Date.now() - began} ms`);
            assert.doesNotMatch(since(from), /Accepted/);
            assert.deepEqual(await server.leftovers(base), []);
            const told = since(from).match(/^.*leader.*$/gm) ?? [];
            assert.equal(told.length, 1, `${name}:\n${since(from)}`);
          }
        },
      );
    }
  }

  for (const phase of ['auth', 'account'] as const) {
    test(`a module that never returns in ${phase}: LoginGraceTime ends it`, async () => {
      stack({ [phase]: `ask=password die=${phase}:hang` });
      const from = server.log().length;
      const outcomes = await Promise.all([
        asked((client) => password(client, 'alice', 'secret')),
        dialogue('secret'),
      ]);
      assert.deepEqual(
        outcomes.map(({ outcome }) => outcome),
        ['closed', 'closed'],
      );
      assert.ok(outcomes.every(({ elapsedMs }) => elapsedMs < 9_000));
      if (serverKind === 'sshdesk') {
        assert.equal(since(from).match(/Timeout before authentication/g)?.length, 2);
      }
    });
  }

  for (const how of ['segv', 'exit', 'closed'] as const) {
    for (const phase of ['cred', 'session'] as const) {
      test(`a module that ends its process (${how}) in ${phase}: nothing runs`, ours, async () => {
        const option = `die=${phase}:${how}`;
        stack(phase === 'cred' ? { auth: `ask=password ${option}` } : { session: option });
        const from = server.log().length;
        using client = await RawSsh.shaken(server.port);
        await client.requestUserauth();
        client.send(client.signedRequest('alice', key));
        // Success may be told before the leader is gone.
        const told = client.nextOf(52).then(() => client.exec('echo ran'));
        await assert.rejects(told, /refused|closed|disconnected/);
        client.close();
        assert.deepEqual(await server.leftovers(base), []);
        assert.match(since(from), /leader/);
      });
    }
  }

  test(
    'modules that never return behind the login end a minute after their clients',
    ours,
    async () => {
      const from = server.log().length;
      // It blocks every signal.
      const hung = (): number =>
        server
          .processes()
          .filter(({ pid }) => /^SigBlk:\s*fffffff/m.test(readProcFile(pid, 'status'))).length;
      let hanging = 0;
      for (const phase of ['cred', 'session', 'close'] as const) {
        const option = `die=${phase}:hang`;
        stack(phase === 'cred' ? { auth: `ask=password ${option}` } : { session: option });
        using client = await RawSsh.loggedIn(server.port, 'alice', key);
        if (phase === 'close') {
          assert.equal(await client.exec('echo ran'), 'ran\n');
        }
        client.close();
        hanging++;
        // Another stack may be written then.
        await eventually(`the module is called for ${phase}`, () => hung() === hanging);
      }
      assert.deepEqual(await server.leftovers(base, 80_000), []);
      const killed = since(from).match(
        /the leader of \S+ port \d+ \(pid \d+\) does not end, killed/g,
      );
      assert.equal(killed?.length, 3, since(from));
    },
  );

  const byKey = async (): Promise<Dialogue['outcome']> => {
    using client = await RawSsh.shaken(server.port);
    await client.requestUserauth();
    client.send(client.signedRequest('alice', key));
    const end = await client.next();
    return end?.[0] === 52 ? 'accepted' : end?.[0] === 51 ? 'refused' : 'closed';
  };
});
