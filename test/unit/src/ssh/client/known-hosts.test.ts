/**
 * known_hosts, with ssh-keygen as the oracle where it has an opinion.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  entriesOf,
  fingerprint,
  hostKeyType,
  knownHostLine,
  knownHostName,
  parseKnownHosts,
} from '../../../../../src/ssh/client/known-hosts.ts';

const folder = mkdtempSync(join(tmpdir(), 'sshdesk-known-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function makeKey(name: string, type: string): Buffer {
  const path = join(folder, name);
  execFileSync('ssh-keygen', ['-q', '-t', type, '-N', '', '-f', path]);
  return Buffer.from(readFileSync(`${path}.pub`, 'utf8').split(' ')[1] ?? '', 'base64');
}

const ed25519 = makeKey('ed', 'ed25519');
const otherEd25519 = makeKey('ed2', 'ed25519');
const ecdsa = makeKey('ec', 'ecdsa');
const line = (hosts: string, blob: Buffer, marker = ''): string =>
  `${marker}${hosts} ${hostKeyType(blob)} ${blob.toString('base64')}\n`;

test('the name has a port unless it is 22, and is lower case', () => {
  assert.equal(knownHostName('Desk.Example', 22), 'desk.example');
  assert.equal(knownHostName('::1', 2222), '[::1]:2222');
});

test('fingerprints are those of ssh-keygen', () => {
  const printed = execFileSync('ssh-keygen', ['-lf', join(folder, 'ed.pub')], { encoding: 'utf8' });
  assert.equal(fingerprint(ed25519), printed.split(' ')[1]);
});

describe('ssh-keygen finds what we find', () => {
  const file = join(folder, 'known_hosts');
  const text =
    line('desk,10.0.0.1', ed25519) +
    line('*.example.org,!secret.example.org', ecdsa) +
    line('[desk]:2222', otherEd25519) +
    line('Upper.Case', ed25519);
  writeFileSync(file, text);
  const hashed = join(folder, 'hashed');
  writeFileSync(hashed, text);
  execFileSync('ssh-keygen', ['-H', '-f', hashed], { stdio: 'ignore' });
  const names = ['desk', '10.0.0.1', '[desk]:2222', 'a.example.org', 'secret.example.org', 'x'];
  for (const path of [file, hashed]) {
    for (const name of names) {
      test(`${name} in ${path.endsWith('hashed') ? 'hashed' : 'plain'} entries`, () => {
        let found = '';
        try {
          found = execFileSync('ssh-keygen', ['-F', name, '-f', path], { encoding: 'utf8' });
        } catch (error) {
          assert.equal((error as { status?: number }).status, 1);
        }
        const theirs = [...found.matchAll(/ (\S+) (AAAA\S+)/g)].map((match) => match[2]);
        const ours = entriesOf(parseKnownHosts(readFileSync(path, 'utf8'), path), name);
        assert.deepEqual(
          ours.map((entry) => entry.blob.toString('base64')),
          theirs,
        );
      });
    }
  }
});

test('ssh-keygen finds the lines that we write', () => {
  for (const isHashed of [false, true]) {
    const path = join(folder, `written-${isHashed}`);
    writeFileSync(path, knownHostLine('[desk]:2222', ed25519, isHashed));
    const found = execFileSync('ssh-keygen', ['-F', '[desk]:2222', '-f', path], {
      encoding: 'utf8',
    });
    assert.ok(found.includes(ed25519.toString('base64')));
  }
});

test('lines that do not parse hide no others', () => {
  const broken = [
    '# comment',
    '',
    'desk',
    'desk ssh-ed25519',
    'desk ssh-ed25519 AAAA',
    `desk ssh-rsa ${ed25519.toString('base64')}`,
    '@unknown desk ssh-ed25519 AAAA',
    '|1|broken',
    `|1|AAAA|BBBB ssh-ed25519 ${ed25519.toString('base64')}`,
    `desk ssh-ed25519 AAAA\0${ed25519.toString('base64')}`,
    `desk ssh-ed25519 ${ed25519.toString('base64').replace(/(.{20})/, '$1\0')}`,
    `desk ssh-ed25519 -${ed25519.toString('base64')}`,
    `@revoked @cert-authority desk ssh-ed25519 ${ed25519.toString('base64')}`,
    `desk\0 ssh-ed25519 ${otherEd25519.toString('base64')}`,
    'x'.repeat(1024 * 1024),
    `desk${',d'.repeat(500_000)} ssh-ed25519 ${otherEd25519.toString('base64')}`,
  ].join('\n');
  const entries = parseKnownHosts(`${broken}\r\n${line('desk', ed25519)}`, 'f');
  assert.equal(entriesOf(entries, 'desk').length, 1);
});

test('the name of a file of twenty thousand lines, half of them hashed, is found', () => {
  const lines = Array.from({ length: 20_000 }, (_each, at) =>
    at % 2 === 0 ? line(`host${at}`, ecdsa) : knownHostLine(`host${at}`, ecdsa, true),
  );
  const entries = parseKnownHosts(lines.join('') + line('desk', ed25519), 'f');
  assert.equal(entries.length, 20_001);
  assert.deepEqual(
    ['desk', 'host7', 'host8', 'host20000'].map((name) => entriesOf(entries, name).length),
    [1, 1, 1, 0],
  );
});
