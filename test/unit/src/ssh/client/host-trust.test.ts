/**
 * What host keys and host certificates are to known_hosts: certificates of ssh-keygen, those that it
 * would not make, revocations of every kind.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { loadPrivateKey } from '../../../../../keys/private-key.ts';
import { parseRevokedKeys } from '../../../../../keys/revoked-keys.ts';
import {
  type HostTrust,
  judgeHostKey,
  linesAbout,
  preferKnownAlgorithms,
} from '../../../../../src/ssh/client/host-trust.ts';
import { hostKeyType, parseKnownHosts } from '../../../../../src/ssh/client/known-hosts.ts';
import { authorityOf, forge, type ForgedFields } from '../../../../support/forged-certificate.ts';

const folder = mkdtempSync(join(tmpdir(), 'sshdesk-trust-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function makeKey(name: string, type: string) {
  const path = join(folder, name);
  execFileSync('ssh-keygen', ['-q', '-t', type, '-N', '', '-f', path]);
  return {
    path,
    line: readFileSync(`${path}.pub`, 'utf8').trim(),
    key: loadPrivateKey(readFileSync(path)),
    blob: Buffer.from(readFileSync(`${path}.pub`, 'utf8').split(' ')[1] ?? '', 'base64'),
  };
}

const host = makeKey('host', 'ed25519');
const otherHost = makeKey('other', 'ed25519');
const ecdsa = makeKey('ecdsa', 'ecdsa');
const rsa = makeKey('rsa', 'rsa');
const authority = makeKey('ca', 'ed25519');
const otherAuthority = makeKey('ca2', 'ecdsa');
const line = (hosts: string, { blob }: { blob: Buffer }, marker = ''): string =>
  `${marker}${hosts} ${hostKeyType(blob)} ${blob.toString('base64')}\n`;
const authorityLine = (hosts: string, key = authority) => line(hosts, key, '@cert-authority ');

const nowMs = 1_800_000_000_000;
const now = BigInt(nowMs / 1000);
const algorithms = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'rsa-sha2-512'];

function trustOf(text: string, names: readonly [string, string?] = ['desk']): HostTrust {
  return {
    ...linesAbout(parseKnownHosts(text, 'f'), names),
    lists: [],
    principal: 'desk',
    authorityAlgorithms: algorithms,
  };
}

function certificate(fields: Partial<ForgedFields> = {}, by = authority): Buffer {
  return forge(
    {
      key: host.blob,
      certificateType: 'ssh-ed25519-cert-v01@openssh.com',
      subject: 2,
      principals: ['desk'],
      ...fields,
    },
    authorityOf(by.key, by === otherAuthority ? 'ecdsa-sha2-nistp256' : 'ssh-ed25519'),
  );
}

describe('a plain key', () => {
  const text = line('desk', host) + line('cap', ecdsa);
  test('is known, changed, new, or new beside another type', () => {
    const judge = (name: string, key: { blob: Buffer }) =>
      judgeHostKey(trustOf(text, [name]), key.blob, nowMs).standing;
    assert.equal(judge('desk', host).is, 'known');
    const changed = judge('desk', otherHost);
    assert.ok(changed.is === 'changed' && changed.from.line === 1);
    assert.deepEqual(judge('elsewhere', host), { is: 'new', others: [] });
    const beside = judge('desk', ecdsa);
    assert.ok(beside.is === 'new' && beside.others.length === 1);
  });

  test('one of several keys of one type is enough', () => {
    const trust = trustOf(line('desk', otherHost) + line('desk', host));
    assert.equal(judgeHostKey(trust, host.blob, nowMs).standing.is, 'known');
  });

  test('known without its port counts, and another one there is no change', () => {
    const names = ['[desk]:2222', 'desk'] as const;
    const standing = (text: string) =>
      judgeHostKey(trustOf(text, names), host.blob, nowMs).standing.is;
    assert.equal(standing(line('desk', host)), 'known');
    assert.equal(standing(line('desk', otherHost)), 'new');
    assert.equal(standing(line('[desk]:2222', otherHost) + line('desk', host)), 'changed');
    assert.equal(standing(line('[desk]:2222', host) + line('desk', host, '@revoked ')), 'revoked');
  });

  test('an authority vouches for none, not even for its own', () => {
    const trust = trustOf(authorityLine('*'));
    assert.equal(judgeHostKey(trust, host.blob, nowMs).standing.is, 'new');
    assert.equal(judgeHostKey(trust, authority.blob, nowMs).standing.is, 'new');
  });
});

describe('a certificate', () => {
  const judge = (blob: Buffer, text = authorityLine('*'), names?: readonly [string, string?]) =>
    judgeHostKey(trustOf(text, names), blob, nowMs);

  test('of the authority of the host counts, of ssh-keygen and of ours', () => {
    const own = judge(certificate());
    assert.ok(own.standing.is === 'certified' && own.standing.by.line === 1);
    assert.ok(own.plain.equals(host.blob));
    execFileSync('ssh-keygen', [
      ...['-q', '-s', authority.path, '-I', 'id', '-h', '-n', '*.example,desk'],
      ...['-V', '20200101:20400101', `${rsa.path}.pub`],
    ]);
    const theirs = readFileSync(`${rsa.path}-cert.pub`, 'utf8').split(' ')[1] ?? '';
    assert.equal(judge(Buffer.from(theirs, 'base64')).standing.is, 'certified');
    const portless = judge(certificate(), authorityLine('desk'), ['[desk]:2222', 'desk']);
    assert.equal(portless.standing.is, 'certified');
    assert.equal(judge(certificate({ principals: ['d?s*'] })).standing.is, 'certified');
  });

  const rows: readonly (readonly [string, Buffer, RegExp])[] = [
    ['of a user', certificate({ subject: 1 }), /not a host certificate/],
    ['of nothing', certificate({ subject: 3 }), /neither a certificate/],
    ['for another host', certificate({ principals: ['cap', 'sdesk'] }), /is for cap, sdesk, not/],
    ['for nobody', certificate({ principals: [] }), /lacks principal/],
    ['of tomorrow', certificate({ validAfter: now + 1n }), /not yet valid/],
    ['of yesterday', certificate({ validBefore: now }), /expired/],
    [
      'with a critical option',
      certificate({ criticalOptions: [['force-command', Buffer.alloc(4)]] }),
      /critical option "force-command"/,
    ],
    ['of another authority', certificate({}, otherAuthority), /no line of known_hosts/],
    [
      'that names the authority but is signed by another',
      certificate({ authorityBlob: authority.blob }, otherHost),
      /incorrect signature/,
    ],
    [
      'whose authority is a certificate',
      certificate({ authorityBlob: certificate() }),
      /authority is itself a certificate/,
    ],
    ['with bytes behind it', certificate({ tail: Buffer.of(0) }), /parse key/],
  ];
  for (const [what, blob, objection] of rows) {
    test(`${what} does not count, and the key within is judged by itself`, () => {
      const { standing, objection: why } = judge(blob);
      assert.equal(standing.is, 'new');
      assert.match(why ?? '', objection);
      assert.equal(judge(blob, authorityLine('*') + line('desk', host)).standing.is, 'known');
      assert.equal(
        judge(blob, authorityLine('*') + line('desk', otherHost)).standing.is,
        'changed',
      );
    });
  }

  test('of an authority for other hosts, or negated for this one, does not count', () => {
    for (const hosts of ['cap', '*,!desk', '*.example']) {
      assert.equal(judge(certificate(), authorityLine(hosts)).standing.is, 'new', hosts);
    }
  });

  test('signed with what CASignatureAlgorithms has not does not count', () => {
    const trust = { ...trustOf(authorityLine('*')), authorityAlgorithms: ['rsa-sha2-512'] };
    const { standing, objection } = judgeHostKey(trust, certificate(), nowMs);
    assert.equal(standing.is, 'new');
    assert.match(objection ?? '', /signature algorithm ssh-ed25519/);
  });

  test('a signature over something else does not count', () => {
    const blob = certificate();
    blob[blob.indexOf('desk')] = 0x44;
    assert.match(judge(blob).objection ?? '', /incorrect signature/);
  });
});

describe('what is revoked is refused, whatever else is known of it', () => {
  const all = line('desk', host) + authorityLine('*');
  const presented = [
    ['key', host.blob],
    ['certificate', certificate()],
  ] as const;
  for (const [kind, blob] of presented) {
    test(`a ${kind} by its key`, () => {
      const trust = trustOf(all + line('*', host, '@revoked '));
      const { standing } = judgeHostKey(trust, blob, nowMs);
      assert.ok(standing.is === 'revoked' && standing.by === 'f:3');
    });

    test(`a ${kind} by a certificate behind @revoked`, () => {
      const trust = trustOf(all + line('*', { blob: certificate() }, '@revoked '));
      assert.equal(judgeHostKey(trust, blob, nowMs).standing.is, 'revoked');
    });

    test(`a ${kind} by RevokedHostKeys, as text and of ssh-keygen -k`, () => {
      const listed = join(folder, `list-${kind}`);
      writeFileSync(listed, `# gone\n${host.line}\n`);
      const krl = join(folder, `krl-${kind}`);
      execFileSync('ssh-keygen', ['-q', '-k', '-f', krl, `${host.path}.pub`]);
      for (const place of [listed, krl]) {
        const keys = parseRevokedKeys(readFileSync(place));
        const trust = { ...trustOf(all), lists: [{ place, keys }] };
        const { standing } = judgeHostKey(trust, blob, nowMs);
        assert.ok(standing.is === 'revoked' && standing.by === place);
        assert.equal(judgeHostKey(trust, otherHost.blob, nowMs).standing.is, 'changed');
      }
    });
  }

  test('a certificate by its authority, in known_hosts and in a list', () => {
    const revoked = trustOf(all + line('desk', authority, '@revoked '));
    const { standing } = judgeHostKey(revoked, certificate(), nowMs);
    assert.ok(standing.is === 'revoked' && standing.what.startsWith('the authority'));
    assert.equal(judgeHostKey(revoked, host.blob, nowMs).standing.is, 'known', 'the key itself');
    const keys = parseRevokedKeys(Buffer.from(`${authority.line}\n`));
    const listed = { ...trustOf(all), lists: [{ place: 'l', keys }] };
    assert.equal(judgeHostKey(listed, certificate(), nowMs).standing.is, 'revoked');
  });

  test('a certificate by its serial number', () => {
    const spec = join(folder, 'spec');
    writeFileSync(spec, 'serial: 7\n');
    const krl = join(folder, 'krl-serial');
    execFileSync('ssh-keygen', ['-q', '-k', '-f', krl, '-s', `${authority.path}.pub`, spec]);
    const lists = [{ place: krl, keys: parseRevokedKeys(readFileSync(krl)) }];
    const standing = (serial: bigint) =>
      judgeHostKey({ ...trustOf(all), lists }, certificate({ serial }), nowMs).standing.is;
    assert.deepEqual([standing(7n), standing(8n)], ['revoked', 'certified']);
  });
});

test('certificates are offered where an authority is known, then algorithms of known keys', () => {
  const offered = [
    ...['ssh-ed25519', 'rsa-sha2-512'].map((name) => `${name}-cert-v01@openssh.com`),
    ...['ssh-ed25519', 'ecdsa-sha2-nistp256', 'rsa-sha2-512', 'rsa-sha2-256'],
  ];
  const prefer = (text: string) => preferKnownAlgorithms(offered, trustOf(text));
  assert.deepEqual(prefer(line('desk', rsa) + line('desk', ecdsa)), [
    ...['ecdsa-sha2-nistp256', 'rsa-sha2-512', 'rsa-sha2-256', 'ssh-ed25519'],
  ]);
  assert.deepEqual(prefer(authorityLine('cap')), offered.slice(2));
  assert.deepEqual(prefer(authorityLine('desk')), offered);
});
