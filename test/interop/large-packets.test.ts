/**
 * Packets of up to 256 KiB, which sshd takes (PACKET_MAX_SIZE): a command of 100,000 bytes, large
 * variables, tokens; and what is too long for anybody harms nobody else. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { authorize, inLab, makeKey, makeUser, type TestKey } from '../support/lab.ts';
import { makeRawKey, no, payload, RawSsh, str, u32, yes } from '../support/raw-ssh.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 150_000);
const rawKey = makeRawKey();
const longBytes = 200_000;

/** Lines of printable characters that a shell leaves alone, no two alike. */
function text(byteCount: number): string {
  let made = '';
  for (let line = 0; made.length < byteCount; line++) {
    made += `${createHash('sha256').update(String(line)).digest('hex')}_`;
  }
  return made.slice(0, byteCount);
}

describe('large packets', lab, () => {
  let key: TestKey;
  let ours: TestServer;
  let theirs: TestServer;
  before(async () => {
    key = makeKey('ed25519');
    authorize(makeUser('alice', { authorizedKeys: [key.line] }), [key.line, rawKey.line]);
    const config = ['UsePAM yes', 'AcceptEnv LC_*', 'X11Forwarding yes'];
    ours = await startServer({ kind: 'sshdesk', config });
    theirs = await startServer({ kind: 'sshd', config });
  });
  after(async () => {
    await ours?.stop();
    await theirs?.stop();
  });

  for (const byteCount of [34_900, 35_100, 66_000, 100_000, 130_000]) {
    test(`a command with a comment of ${byteCount} bytes comes byte for byte, as with sshd`, async () => {
      const command = `tr '\\000' '\\n' </proc/$$/cmdline; true # ${text(byteCount)}`;
      const [from, expected] = await Promise.all(
        [ours, theirs].map((server) => ssh(server, { key }, command)),
      );
      assert.equal(from?.status, 0, from?.stderr);
      assert.ok(from?.text.includes(`\n${command}\n`), from?.text.slice(0, 200));
      assert.equal(from?.text, expected?.text);
    });
  }

  for (const cipher of ['chacha20-poly1305@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr']) {
    test(`${cipher}: likewise, compressed or not`, async () => {
      for (const compression of ['yes', 'no']) {
        const args = ['-c', cipher, '-o', `Compression=${compression}`];
        const word = text(100_000);
        const {
          status,
          text: answer,
          stderr,
        } = await ssh(
          ours,
          { key, args },
          `set -- ${word}; echo $# \${#1}; printf %s "$1" | sha256sum`,
        );
        assert.equal(status, 0, stderr);
        const digest = createHash('sha256').update(word).digest('hex');
        assert.equal(answer, `1 100000\n${digest}  -\n`);
      }
    });
  }

  test('a variable of 60,000 bytes comes byte for byte, as with sshd', async () => {
    const value = text(60_000);
    const options = { key, args: ['-o', 'SendEnv=LC_LARGE'], environment: { LC_LARGE: value } };
    for (const server of [ours, theirs]) {
      const { status, text: answer, stderr } = await ssh(server, options, 'printf %s "$LC_LARGE"');
      assert.equal(status, 0, stderr);
      assert.ok(answer === value, `${answer.length} bytes`);
    }
  });

  describe('what is longer than any use of it', () => {
    let bystander: RawSsh;
    const long = Buffer.alloc(longBytes, 'a');
    before(async () => {
      bystander = await RawSsh.loggedIn(ours.port, 'alice', rawKey);
    });
    after(() => bystander.close());
    const unharmed = async (channel: number): Promise<void> => {
      assert.equal(await bystander.exec('echo here', channel), 'here\n');
      assert.doesNotMatch(ours.log(), /internal error/);
    };

    test('a request of a session is refused, and its session goes on', async () => {
      using client = await RawSsh.loggedIn(ours.port, 'alice', rawKey);
      const channel = await client.openSession(3);
      const requests = {
        env: [str('LC_LONG'), str(long)],
        'pty-req': [str(long), ...[80, 24, 0, 0].map(u32), str('')],
        'x11-req': [no, str('MIT-MAGIC-COOKIE-1'), str(long), u32(0)],
        subsystem: [str(long)],
        exec: [str(long)],
      };
      for (const [name, fields] of Object.entries(requests)) {
        client.send(payload(98, u32(channel), str(name), yes, ...fields));
        await client.nextOf(100);
      }
      assert.equal(await client.exec('echo on', 4), 'on\n');
      await unharmed(5);
    });

    test('a farewell is shortened for the log', async () => {
      using client = await RawSsh.loggedIn(ours.port, 'alice', rawKey);
      client.send(payload(1, u32(11), str(long), str('')));
      await ours.logged(/Received disconnect from .*:11: a{100}/);
      await unharmed(6);
    });

    test('lists of algorithms that nobody has end the connection alone', async () => {
      using client = await RawSsh.open(ours.port);
      await client.identify();
      client.sendKexInit(client.kexInit({ 2: `x@${text(longBytes)}` }));
      assert.equal((await client.ending()).disconnect?.reason, 3);
      await unharmed(7);
    });

    for (const [method, fields] of [
      ['publickey', [no, str('ssh-ed25519'), str(long)]],
      ['password', [no, str(long)]],
      ['keyboard-interactive', [str(''), str(long)]],
      ['gssapi-with-mic', [u32(1), str(long)]],
      [long, []],
    ] as const) {
      const name = typeof method === 'string' ? method : 'a name';
      test(`authentication: ${name} is refused or ends the connection`, async () => {
        using client = await RawSsh.shaken(ours.port);
        await client.requestUserauth();
        client.send(payload(50, str('alice'), str('ssh-connection'), str(method), ...fields));
        const ending = await client.ending(2000);
        assert.ok(
          ending.messages.some((message) => message[0] === 51) || ending.disconnect?.reason === 2,
          `${ending.messages.map((message) => message[0])}`,
        );
        assert.ok(!ending.messages.some((message) => message[0] === 52));
        await unharmed(8);
      });
    }
  });
});
