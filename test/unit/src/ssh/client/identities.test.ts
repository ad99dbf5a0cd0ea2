/**
 * Keys of files and their order, with keys of ssh-keygen.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  embeddedPublicKey,
  fileIdentity,
  orderIdentities,
} from '../../../../../src/ssh/client/identities.ts';
import type { Identity } from '../../../../../src/ssh/client/identities.ts';

const folder = mkdtempSync(join(tmpdir(), 'sshdesk-identities-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function makeKey(name: string, ...args: string[]): Buffer {
  const path = join(folder, name);
  execFileSync('ssh-keygen', ['-q', '-a', '1', '-f', path, ...args]);
  return readFileSync(path);
}
const file = (contents: Buffer) => ({ path: 'key', contents, publicContents: null });
const nobody = (): Promise<string | null> => Promise.reject(new Error('nobody is asked'));

describe('an encrypted key', () => {
  for (const type of ['ed25519', 'ecdsa', 'rsa']) {
    test(`of type ${type} shows its public half and opens with its passphrase`, async () => {
      const contents = makeKey(`enc_${type}`, '-t', type, '-N', 'a b', '-C', 'c');
      const blob = readFileSync(join(folder, `enc_${type}.pub`), 'utf8').split(' ')[1];
      assert.equal(embeddedPublicKey(contents)?.getPublicSSH().toString('base64'), blob);
      const asked: number[] = [];
      const identity = fileIdentity(file(contents), (_label, attempt) => {
        asked.push(attempt);
        return Promise.resolve(attempt === 1 ? 'wrong' : 'a b');
      });
      const signer = await identity?.unlock();
      assert.deepEqual(asked, [1, 2]);
      assert.equal(signer?.publicKey.getPublicSSH().toString('base64'), blob);
    });
  }

  test('stays closed after three wrong passphrases or an empty one', async () => {
    const contents = makeKey('enc_closed', '-t', 'ed25519', '-N', 'right', '-C', 'c');
    let asked = 0;
    const identity = fileIdentity(file(contents), () => {
      asked += 1;
      return Promise.resolve('wrong');
    });
    assert.equal(await identity?.unlock(), null);
    assert.equal(asked, 3);
    assert.equal(await fileIdentity(file(contents), () => Promise.resolve(''))?.unlock(), null);
  });
});

test('a signature verifies with node:crypto', async () => {
  const contents = makeKey('sign', '-t', 'rsa', '-b', '2048', '-N', '', '-m', 'PEM', '-C', 'c');
  const signer = await fileIdentity(file(contents), nobody)?.unlock();
  assert.ok(signer);
  const data = Buffer.from('what is signed');
  const signature = await signer.sign(data, 'sha512');
  assert.ok(verify('sha512', data, createPublicKey(contents), signature));
});

test('what is no private key is no identity', () => {
  makeKey('plain', '-t', 'ed25519', '-N', '', '-C', 'c');
  for (const contents of [Buffer.alloc(0), Buffer.from('hello')]) {
    assert.equal(fileIdentity(file(contents), nobody), null);
  }
  const half = fileIdentity(file(readFileSync(join(folder, 'plain.pub'))), nobody);
  assert.equal(half?.isPublicOnly, true, 'it names a key of an agent or a card');
});

test('a truncated container is null, at each offset', () => {
  const text = makeKey('cut', '-t', 'ed25519', '-N', 'x', '-C', 'c').toString('latin1');
  const lines = text.trim().split('\n');
  const body = Buffer.from(lines.slice(1, -1).join(''), 'base64');
  for (let cut = 0; cut < 120; cut += 1) {
    const encoded = body.subarray(0, cut).toString('base64');
    const key = Buffer.from(`${lines[0]}\n${encoded}\n${lines.at(-1)}\n`);
    const parsed = embeddedPublicKey(key);
    assert.ok(parsed === null || parsed.type === 'ssh-ed25519');
  }
});

test('the order is that of ssh', () => {
  const named = (name: string): Identity => {
    const identity = fileIdentity(
      file(makeKey(name, '-t', 'ed25519', '-N', '', '-C', 'c')),
      nobody,
    );
    assert.ok(identity);
    return { ...identity, label: name };
  };
  const [inBoth, onlyFile, onlyAgent] = [named('both'), named('file'), named('agent')];
  const ofAgent = { ...inBoth, label: 'both of the agent' };
  const labels = (identities: readonly Identity[]): string[] =>
    identities.map(({ label }) => label);
  const files = [onlyFile, inBoth];
  const agent = [onlyAgent, ofAgent];
  assert.deepEqual(labels(orderIdentities(files, agent, false)), [
    'both of the agent',
    'agent',
    'file',
  ]);
  assert.deepEqual(labels(orderIdentities(files, agent, true)), ['both of the agent', 'file']);

  const [onlyCard, namedCard] = [named('card'), named('named card')];
  const publicOnly = fileIdentity(file(readFileSync(join(folder, 'named card.pub'))), nobody);
  assert.ok(publicOnly);
  const cards = [onlyCard, namedCard, { ...onlyAgent, label: 'agent’s of the card' }];
  const all = [onlyFile, publicOnly];
  assert.deepEqual(labels(orderIdentities(all, agent, false, cards)), [
    ...['agent', 'both of the agent', 'named card', 'card', 'file'],
  ]);
  assert.deepEqual(labels(orderIdentities(all, agent, true, cards)), ['named card', 'file']);
});
