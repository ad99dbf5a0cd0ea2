/**
 * User names that are none: every byte in a name, paths, formats, tokens, styles and roles, names too
 * long. To a client each is a user whom nobody has; no path is made of one, and the log holds it
 * encoded. Held against Debian's sshd. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { replyOf } from '../../support/factors.ts';
import { inLab, makeUser } from '../../support/lab.ts';
import { makeRawKey, no, payload, RawSsh, str, yes } from '../../support/raw-ssh.ts';
import { startServer, type TestServer } from '../../support/server.ts';

const lab = inLab(import.meta.url, 200_000);
const lanes = 16;
const refusal = 'refused: publickey,password';

describe('names that nobody has', lab, () => {
  const key = makeRawKey();
  let ours: TestServer;
  let theirs: TestServer;
  const trace = '/tmp/keys-command-ran';

  before(async () => {
    makeUser('alice', { authorizedKeys: [key.line] });
    // What a name could lead to, if a path were made of it.
    mkdirSync('/etc/keys-of/deep', { recursive: true });
    for (const file of ['/etc/outside', '/etc/keys-of/deep/alice', '/etc/keys-of/alice']) {
      writeFileSync(file, `${key.line}\n`);
      chmodSync(file, 0o644);
    }
    writeFileSync('/etc/keys-command', `#!/bin/sh\necho "$@" >> ${trace}\necho '${key.line}'\n`);
    chmodSync('/etc/keys-command', 0o755);
    const config = [
      ...['UsePAM yes', 'MaxStartups 200', 'LogLevel VERBOSE', 'MaxAuthTries 20'],
      'KbdInteractiveAuthentication no',
      'AuthorizedKeysFile /etc/keys-of/%u /etc/keys-of/deep/%u %h/.ssh/authorized_keys',
      ...['AuthorizedKeysCommand /etc/keys-command %u', 'AuthorizedKeysCommandUser nobody'],
    ];
    [ours, theirs] = [
      await startServer({ config, kind: 'sshdesk', hostKeys: ['ed25519'] }),
      await startServer({ config, kind: 'sshd', hostKeys: ['ed25519'] }),
    ];
  });
  after(async () => {
    await ours?.stop();
    await theirs?.stop();
  });

  /** What `none`, a question for a key, and a signature by it come to. */
  const replies = async ({ port }: TestServer, name: Buffer): Promise<string> => {
    using client = await RawSsh.shaken(port);
    await client.requestUserauth();
    const said: string[] = [];
    const ask = async (request: Buffer): Promise<void> => {
      if (!said.at(-1)?.startsWith('closed')) {
        client.send(request);
        said.push(replyOf(await client.next(20_000)));
      }
    };
    const head = [str(name), str('ssh-connection')];
    const proof = [str('ssh-ed25519'), str(key.blob)];
    await ask(payload(50, ...head, str('none')));
    await ask(payload(50, ...head, str('publickey'), no, ...proof));
    const request = payload(50, ...head, str('publickey'), yes, ...proof);
    const signature = sign(
      null,
      Buffer.concat([str(client.sessionId as Buffer), request]),
      key.privateKey,
    );
    await ask(Buffer.concat([request, str(Buffer.concat([str('ssh-ed25519'), str(signature)]))]));
    return said.join(' | ');
  };
  const nobody = [refusal, refusal, refusal].join(' | ');
  const letIn = [refusal, 'acceptable', 'accepted'].join(' | ');

  const each = async (
    names: readonly Buffer[],
    act: (name: Buffer) => Promise<void>,
  ): Promise<void> => {
    const left = [...names];
    await Promise.all(
      Array.from({ length: lanes }, async () => {
        for (let name = left.shift(); name !== undefined; name = left.shift()) {
          await act(name);
        }
      }),
    );
  };
  const everyByte = Array.from({ length: 256 }, (_, byte) => Buffer.from([byte]));
  const isPlain = (text: string): boolean =>
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    !/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.test(text);

  test('alice is let in (the test is right)', async () => {
    for (const server of [ours, theirs]) {
      assert.equal(await replies(server, Buffer.from('alice')), letIn);
    }
  });

  test('every byte in front of and inside a name: nobody, and the log is text', async () => {
    const from = ours.log().length;
    const names = everyByte.flatMap((byte) => [
      Buffer.concat([byte, Buffer.from('alice')]),
      Buffer.concat([Buffer.from('al'), byte, Buffer.from('ice')]),
    ]);
    await each(names, async (name) => {
      assert.equal(await replies(ours, name), nobody, JSON.stringify(`${name}`));
    });
    const log = ours.log().slice(from);
    assert.ok(isPlain(log), 'control characters in the log');
    assert.equal(log.match(/^Invalid user /gm)?.length, names.length);
  });

  test('every byte behind a name: as at sshd, but for what sshd cuts off', async () => {
    const differs = new Map<string, string>();
    await each(everyByte, async (byte) => {
      const name = Buffer.concat([Buffer.from('alice'), byte]);
      const [mine, other] = await Promise.all([replies(ours, name), replies(theirs, name)]);
      if (mine !== other) {
        differs.set(byte.toString('latin1'), `${mine} / ${other}`);
      }
    });
    // sshd reads a name up to a NUL, takes off a style of BSD authentication behind a colon, Debian's an
    // SELinux role behind a slash. Here there is neither: what is logged and judged is what was sent.
    assert.deepEqual([...differs.keys()].sort(), ['\0', '/', ':'], JSON.stringify([...differs]));
  });

  const odd: readonly string[] = [
    ...['', ' ', '.', '..', '../outside', '../../etc/outside', 'deep/alice', './alice', '/alice'],
    ...['alice/', 'alice/../alice', '..\\outside', '\\alice', 'ALICE', 'Alice', ' alice', 'alice '],
    ...['-alice', '-oProxyCommand=id', '--', '+alice', '%n%n%n%s', '%s%s%s%s', '%u', '%h', '%%'],
    ...['alice%u', '$(id)', '`id`', '$HOME', '${USER}', '*', '?', 'ali*', '!alice', 'alice,bob'],
    ...[
      'alice@127.0.0.1',
      'alice;id',
      'alice|id',
      'alice&',
      "alice'",
      'alice"',
      '#alice',
      '~alice',
    ],
    ...['al\u0456ce', '\u202ealice', 'alice\u200b', 'a\u0301lice', '\ufeffalice', '👤'],
    ...[
      'root\nAccepted password for root',
      'x\u001b]0;title\u0007',
      'x\u009b31m',
      '0',
      '1000',
      '-1',
    ],
    ...['nobody\u0000root', 'x'.repeat(32), 'x'.repeat(100), 'x'.repeat(256), 'x'.repeat(257)],
  ];
  test('paths, formats, tokens, patterns, other alphabets: nobody, as at sshd', async () => {
    const from = ours.log().length;
    await each(
      odd.map((name) => Buffer.from(name)),
      async (name) => {
        const shown = JSON.stringify(name.toString());
        const [mine, other] = await Promise.all([replies(ours, name), replies(theirs, name)]);
        assert.equal(mine, nobody, shown);
        // sshd takes a role off; a NUL ends the name, and then the connection.
        assert.ok(other === nobody || /\/|u0000/.test(shown), `${shown}: ${other}`);
      },
    );
    const log = ours.log().slice(from);
    assert.ok(isPlain(log), 'control characters in the log');
    assert.doesNotMatch(log, /^Accepted/m);
    // sshd's own bound of a name in a line.
    assert.ok(log.split('\n').every((line) => line.length < 400));
  });

  test('a style behind a colon makes it another name, which nobody has', async () => {
    assert.equal(await replies(theirs, Buffer.from('alice:style')), letIn, 'sshd takes it off');
    for (const name of ['alice:', 'alice:style', 'alice:x:y', ':alice', ':']) {
      assert.equal(await replies(ours, Buffer.from(name)), nobody, name);
    }
  });

  test('a name of 64 KiB ends the connection or is nobody; the server goes on', async () => {
    for (const length of [1024, 1025, 4096, 30_000, 32_000, 65_536, 200_000]) {
      const name = Buffer.alloc(length, 'a');
      const mine = await replies(ours, name).catch((error: Error) => `closed: ${error.message}`);
      assert.ok(mine === nobody || /closed/.test(mine), `${length}: ${mine}`);
    }
    assert.equal(await replies(ours, Buffer.from('alice')), letIn);
    assert.ok(
      ours
        .log()
        .split('\n')
        .every((line) => line.length < 400),
    );
  });

  test('nothing was run for any of them', () => {
    assert.equal(existsSync(trace), false);
  });
});
