/** Which certificates of cards are believed: authorities, lists and certificates that openssl made. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { readPem } from '../../../keys/pem.ts';
import { readX509, type X509 } from '../../../keys/x509.ts';
import { pathObjection, readAuthorities, readRevocationLists } from '../../../keys/x509-path.ts';
import {
  CardAuthority,
  type CardKey,
  dayMs,
  forLogin,
  makeCardKey,
  openssl,
  upn,
  type Wanted,
} from '../../support/card-authority.ts';

const now = Date.now();
let root: CardAuthority;
let other: CardAuthority;
let key: CardKey;

function read(pem: string): X509 {
  const [der] = readPem(Buffer.from(pem), { label: 'CERTIFICATE', maxBlocks: 1 });
  assert.ok(der !== undefined);
  return readX509(der);
}

/** `ok`, or why not. */
function judged(
  certificate: string,
  authorities: readonly CardAuthority[] = [root],
  lists?: readonly string[],
): string {
  const trust = {
    authorities: readAuthorities(Buffer.from(authorities.map((one) => one.certificate).join(''))),
    revocations: lists && readRevocationLists(Buffer.from(lists.join(''))),
  };
  return pathObjection(read(certificate), trust, now)?.reason ?? 'ok';
}

describe('the certificate of a card', () => {
  before(() => {
    root = new CardAuthority('Root');
    other = new CardAuthority('Other');
    key = makeCardKey();
  });

  test('what is read is what openssl reads', () => {
    const wanted: Wanted = {
      subject: '/C=DE/O=A,B+C=\\/D/OU=x;y/CN=#Müller "M"\\\\/emailAddress=a@b',
      extensions: [...forLogin, upn('alice@EXAMPLE.COM')],
    };
    const pem = root.certify(key, wanted);
    const own = read(pem);
    const node = new X509Certificate(pem);
    assert.equal(own.serial, node.serialNumber);
    assert.equal(own.notBeforeMs, Date.parse(node.validFrom));
    assert.equal(own.notAfterMs, Date.parse(node.validTo));
    assert.deepEqual(own.upns, ['alice@EXAMPLE.COM']);
    assert.ok(own.spki.equals(node.publicKey.export({ type: 'spki', format: 'der' })));
    const file = `${key.file}.crt`;
    openssl('x509', '-out', file, ...['-in', writeTo(pem)]);
    const text = openssl('x509', '-in', file, '-noout', '-subject', '-nameopt', 'RFC2253');
    assert.equal(`subject=${own.subject.text}\n`, text);
  });

  test('authorities and keys of every kind that is taken', () => {
    const long = makeCardKey('RSA:4096');
    for (const kind of ['RSA:2048', 'EC:P-384', 'EC:P-521', 'ED25519']) {
      const authority = new CardAuthority(`By ${kind}`, { key: kind });
      const list = authority.list();
      assert.equal(judged(authority.certify(long), [authority], [list]), 'ok', kind);
    }
  });

  test('an expired one, and one that is not valid yet', () => {
    const expired = root.certify(key, { fromMs: now - 2 * dayMs, untilMs: now - dayMs });
    assert.match(judged(expired), /^expired at 20\d\d-.*Z$/);
    const early = root.certify(key, { fromMs: now + dayMs, untilMs: now + 2 * dayMs });
    assert.match(judged(early), /^not valid before 20/);
  });

  test('by an authority that is not trusted, or that only has the name of one', () => {
    assert.match(judged(other.certify(key)), /^its authority CN=Other,O=Lab is not a trusted one$/);
    const impostor = new CardAuthority('Root');
    assert.match(judged(impostor.certify(key)), /^its signature is not by CN=Root,O=Lab$/);
    // Both have the name, as after a change of its key.
    assert.equal(judged(impostor.certify(key), [root, impostor]), 'ok');
  });

  test('for another use', () => {
    const cases: readonly [readonly string[], RegExp | 'ok'][] = [
      [['keyUsage=keyEncipherment'], /keyUsage has no digitalSignature/],
      [['basicConstraints=CA:FALSE'], /keyUsage has no digitalSignature/],
      [['keyUsage=digitalSignature', 'extendedKeyUsage=serverAuth'], /neither clientAuth nor/],
      [['keyUsage=digitalSignature', 'extendedKeyUsage=anyExtendedKeyUsage'], /neither clientAuth/],
      [['keyUsage=digitalSignature'], 'ok'],
      [['keyUsage=digitalSignature', 'extendedKeyUsage=clientAuth'], 'ok'],
      [['keyUsage=digitalSignature', 'extendedKeyUsage=1.3.6.1.4.1.311.20.2.2'], 'ok'],
      [['keyUsage=digitalSignature', '1.2.3.4=critical,DER:0500'], /critical extension 1\.2\.3\.4/],
      [['keyUsage=digitalSignature', '1.2.3.4=DER:0500'], 'ok'],
      [['keyUsage=digitalSignature', 'basicConstraints=CA:TRUE'], /an authority’s own/],
    ];
    for (const [extensions, expected] of cases) {
      const said = judged(root.certify(key, { extensions }));
      assert.ok(expected === 'ok' ? said === 'ok' : expected.test(said), `${extensions}: ${said}`);
    }
  });

  test('a weak signature, and an authority with a weak key', () => {
    const rsa = new CardAuthority('RSA', { key: 'RSA:2048' });
    assert.equal(
      judged(rsa.certify(key, { digest: 'md5' }), [rsa]),
      'signed with md5WithRSAEncryption',
    );
    assert.equal(
      judged(rsa.certify(key, { digest: 'sha1' }), [rsa]),
      'signed with sha1WithRSAEncryption',
    );
    assert.equal(judged(root.certify(key, { digest: 'sha1' })), 'signed with ecdsa-with-SHA1');
    const short = new CardAuthority('Short', { key: 'RSA:1024' });
    assert.throws(() => judged(short.certify(key), [short]), /1024 bits where 2048 are the least/);
  });

  test('an authority in between', () => {
    const middle = new CardAuthority('Middle', { above: root });
    const pem = middle.certify(key);
    assert.match(judged(pem), /CN=Middle,O=Lab is not a trusted one/);
    assert.equal(judged(pem, [root, middle]), 'ok');
    // Root's file says of it alone that it is trusted.
    assert.equal(judged(pem, [middle]), 'ok');
    assert.equal(judged(pem, [root, middle], [root.list(), middle.list()]), 'ok');
    assert.match(
      judged(pem, [root, middle], [middle.list()]),
      /no revocation list of its authority CN=Root/,
    );
    root.revoke(middle.certificate);
    assert.match(judged(pem, [root, middle], [root.list(), middle.list()]), /^revoked at 20/);
    const old = new CardAuthority('Old', { above: root, untilMs: now - 1000, fromMs: now - dayMs });
    assert.match(judged(old.certify(key), [root, old]), /CN=Old,O=Lab is expired at/);
    const last = new CardAuthority('Last', {
      extensions: ['basicConstraints=critical,CA:TRUE,pathlen:0', 'keyUsage=keyCertSign'],
    });
    const below = new CardAuthority('Below', { above: last });
    assert.match(judged(below.certify(key), [last, below]), /may not have authorities below/);
    assert.equal(judged(last.certify(key), [last]), 'ok');
  });

  test('what is no authority is not in the file of them', () => {
    const cases: readonly [readonly string[], RegExp][] = [
      [forLogin, /it is no authority/],
      [['basicConstraints=CA:TRUE', 'keyUsage=digitalSignature'], /may not sign certificates/],
      [
        ['basicConstraints=CA:TRUE', 'nameConstraints=permitted;email:example.com'],
        /name constraints/,
      ],
    ];
    for (const [extensions, expected] of cases) {
      const authority = new CardAuthority('No', { extensions });
      assert.throws(() => readAuthorities(Buffer.from(authority.certificate)), expected);
    }
    assert.throws(() => readAuthorities(Buffer.from('')), /no certificate in it/);
    assert.throws(
      () => readAuthorities(Buffer.from(root.certificate.slice(0, -30))),
      /does not end/,
    );
  });

  test('lists of revocations', () => {
    const authority = new CardAuthority('Lister');
    const good = authority.certify(key);
    const bad = authority.certify(key);
    authority.revoke(bad);
    const by = (list: string, pem = good) => judged(pem, [authority], [list]);
    assert.equal(by(authority.list()), 'ok');
    assert.match(by(authority.list(), bad), /^revoked at 20/);
    // One that has expired still says what it says.
    const old = authority.list({ fromMs: now - 2 * dayMs, untilMs: now - dayMs });
    assert.match(by(old), /^the revocation list has expired at 20/);
    assert.match(by(old, bad), /^revoked at 20/);
    const coming = authority.list({ fromMs: now + dayMs, untilMs: now + 2 * dayMs });
    assert.match(by(coming), /of a time to come/);
    assert.match(by(other.list()), /no revocation list of its authority CN=Lister/);
    assert.match(by(new CardAuthority('Lister').list()), /signature is not by this authority/);
    assert.equal(by(authority.list() + new CardAuthority('Lister').list()), 'ok');
    assert.match(by(authority.list({ digest: 'sha1' })), /it is signed with ecdsa-with-SHA1/);
    const partial = (line: string) => () => by(authority.list({ extensions: [line] }));
    assert.throws(partial('2.5.29.27=critical,DER:020101'), /a delta/);
    assert.throws(partial('2.5.29.28=critical,DER:3000'), /a list of a part/);
    assert.throws(partial('1.2.3.4=critical,DER:0500'), /1\.2\.3\.4 is not understood/);
    assert.throws(() => readRevocationLists(Buffer.from('x')), /no revocation list in it/);
    const mayNot = new CardAuthority('MayNot', {
      extensions: ['basicConstraints=CA:TRUE', 'keyUsage=keyCertSign'],
    });
    assert.match(judged(mayNot.certify(key), [mayNot], [mayNot.list()]), /may not sign revocation/);
  });
});

function writeTo(pem: string): string {
  const file = `${key.file}.in`;
  writeFileSync(file, pem);
  return file;
}
