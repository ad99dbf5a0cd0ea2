import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPublicLine } from '../../../keys/public-line.ts';
import { Writer } from '../../../src/ssh/wire/writer.ts';

const blob = new Writer().text('ssh-ed25519').string(Buffer.alloc(32, 7)).done();
const line = `ssh-ed25519 ${blob.toString('base64')}`;

test('the first line that is no comment', () => {
  for (const text of [
    line,
    `${line}\n`,
    `${line} a comment\r\n`,
    `# a comment\n\n \t${line}\tme\nsecond line`,
  ]) {
    assert.deepEqual(readPublicLine(Buffer.from(text)), blob, text);
  }
});

test('what is no public key is none', () => {
  for (const text of [
    '',
    '\n\n',
    'ssh-ed25519',
    'ssh-ed25519 !!!!',
    'ssh-ed25519 AAAA',
    `ssh-rsa ${blob.toString('base64')}`,
    `from="x" ${line}`,
    '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n',
    '\0'.repeat(100),
  ]) {
    assert.equal(readPublicLine(Buffer.from(text)), undefined, text);
  }
});
