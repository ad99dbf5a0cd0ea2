/**
 * ThinLinc SSO kept passwords in its sessions. Here: once a login is through, no process of the server
 * has the word in its memory, its environment or its arguments any more. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { inLab, makeUser, setPassword } from '../support/lab.ts';
import { RawSsh } from '../support/raw-ssh.ts';
import { serverKind, startServer, type TestServer } from '../support/server.ts';
import { keyboardInteractive, password } from '../support/userauth.ts';

const lab = inLab(import.meta.url);
const chunkBytes = 1024 * 1024;

/** Every place at which the readable memory of a process holds one of the words. */
function placesOf(pid: number, words: readonly Buffer[]): readonly string[] {
  const found: string[] = [];
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const [, from = '', to = '', mode = '', name = ''] =
        /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)$/.exec(line) ?? [];
      if (mode.startsWith('rw') && name !== '[vvar]') {
        const [start, end] = [Number.parseInt(from, 16), Number.parseInt(to, 16)];
        found.push(
          ...withIn(memory, start, end, words).map((at) => `${at.toString(16)} ${mode} ${name}`),
        );
      }
    }
  } finally {
    closeSync(memory);
  }
  return found;
}

function withIn(memory: number, start: number, end: number, words: readonly Buffer[]): number[] {
  const found: number[] = [];
  const longest = Math.max(...words.map((word) => word.length));
  const chunk = Buffer.alloc(chunkBytes + longest);
  for (let at = start; at < end; at += chunkBytes) {
    let length: number;
    try {
      length = readSync(memory, chunk, 0, Math.min(chunk.length, end - at), at);
    } catch (error) {
      // Reserved, with nothing behind it.
      if (['EIO', 'EFAULT'].includes((error as NodeJS.ErrnoException).code ?? '')) {
        continue;
      }
      throw error;
    }
    for (const word of words) {
      const offset = chunk.subarray(0, length).indexOf(word);
      if (offset >= 0) {
        found.push(at + offset);
      }
    }
  }
  return found;
}

describe('a password in memory', lab, () => {
  let server: TestServer;
  const secret = `canary-${randomBytes(12).toString('hex')}`;
  const wrong = `wrong-${randomBytes(12).toString('hex')}`;
  const words = [Buffer.from(secret), Buffer.from(wrong), Buffer.from(secret, 'utf16le')];

  before(async () => {
    makeUser('alice', { password: secret });
    setPassword('alice', secret);
    server = await startServer({
      config: ['UsePAM yes', 'KbdInteractiveAuthentication yes', 'MaxAuthTries 6'],
    });
  });
  after(async () => await server?.stop());

  const holders = (): readonly string[] =>
    server
      .processes()
      .flatMap(({ pid, title }) => placesOf(pid, words).map((place) => `${title}: ${place}`));

  test('ThinLinc SSO: the scan finds what is there (the test is right)', () => {
    assert.notEqual(placesOf(process.pid, words).length, 0);
  });

  for (const [method, logIn] of [
    ['password', async (client: RawSsh, word: string) => await password(client, 'alice', word)],
    [
      'keyboard-interactive',
      async (client: RawSsh, word: string) => await keyboardInteractive(client, 'alice', [word]),
    ],
  ] as const) {
    test(`ThinLinc SSO: no process has the word of ${method} when the login is through`, {
      skip: serverKind === 'sshd' ? 'sshd keeps it until its child ends' : false,
    }, async () => {
      using client = await RawSsh.shaken(server.port);
      await client.requestUserauth();
      assert.equal((await logIn(client, wrong)).outcome, 'refused');
      assert.equal((await logIn(client, secret)).outcome, 'accepted');
      assert.equal(await client.exec('id -un'), 'alice\n');
      // Buffers that are pooled are written over a moment later.
      let seen: readonly string[] = [];
      await eventually(
        'no process has it',
        () => {
          seen = holders();
          return seen.length === 0;
        },
        10_000,
      ).catch(() => assert.deepEqual(seen, []));
      assert.doesNotMatch(server.log(), new RegExp(`${secret}|${wrong}`));
    });
  }
});
