/** Whose a certificate is: what names an account, and what only looks as if it did. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CardMapping, namesAccount, readCardSubjects } from '../../../keys/card-mapping.ts';
import { DerReader } from '../../../keys/der.ts';
import { readName } from '../../../keys/x509-name.ts';

interface Names {
  readonly upns?: readonly string[];
  readonly emails?: readonly string[];
  readonly commonNames?: readonly string[];
  readonly text?: string;
}

function isAlice(mapping: CardMapping, names: Names, uid = 1000, subjects = ''): boolean {
  const { upns = [], emails = [], commonNames = [], text = '' } = names;
  const subject = { raw: Buffer.alloc(0), text, commonNames };
  return namesAccount(
    { subject, upns, emails },
    mapping,
    { user: 'alice', uid },
    readCardSubjects(Buffer.from(subjects)),
  );
}

test('a user principal name: one, of a realm that is listed, the account letter by letter', () => {
  const upn: CardMapping = { by: 'upn', realms: ['example.com'] };
  assert.ok(isAlice(upn, { upns: ['alice@EXAMPLE.com'] }));
  for (const name of [
    ...['alice', 'ALICE@example.com', 'alice@example.org', '@example.com', 'alice@', ''],
    ...['alice@example.com ', ' alice@example.com', 'alice@example.com\0', 'alice@@example.com'],
    ...[
      'bob@alice@example.com',
      'alice@bob@example.com',
      'alice@example.com\n',
      'аlice@example.com',
    ],
    ...['alice@example.com.', 'alice@K.example.com', 'alice%example.com', 'alice\0@example.com'],
  ]) {
    assert.ok(!isAlice(upn, { upns: [name] }), JSON.stringify(name));
  }
  assert.ok(!isAlice(upn, { upns: ['alice@example.com', 'bob@example.com'] }));
  assert.ok(!isAlice(upn, { emails: ['alice@example.com'], commonNames: ['alice@example.com'] }));
});

test('an e-mail address counts among the alternative names only', () => {
  const email: CardMapping = { by: 'email', domains: ['example.org', 'example.com'] };
  assert.ok(isAlice(email, { emails: ['a.smith@example.com', 'alice@example.com'] }));
  assert.ok(
    !isAlice(email, { text: 'emailAddress=alice@example.com', upns: ['alice@example.com'] }),
  );
  assert.ok(!isAlice(email, { emails: ['Alice@example.com', '"alice"@example.com'] }));
});

test('a common name: one, and no other', () => {
  assert.ok(isAlice({ by: 'cn' }, { commonNames: ['alice'] }));
  assert.ok(!isAlice({ by: 'cn' }, { commonNames: ['alice', 'alice'] }));
  assert.ok(!isAlice({ by: 'cn' }, { commonNames: ['Alice'] }));
  assert.ok(!isAlice({ by: 'cn' }, { commonNames: [] }));
});

test('accounts of the system are opened by a subject only', () => {
  const names = {
    upns: ['alice@a'],
    emails: ['alice@a'],
    commonNames: ['alice'],
    text: 'CN=alice',
  };
  for (const mapping of [
    { by: 'upn', realms: ['a'] },
    { by: 'email', domains: ['a'] },
    { by: 'cn' },
  ] as const) {
    assert.ok(isAlice(mapping, names));
    assert.ok(!isAlice(mapping, names, 999), mapping.by);
    assert.ok(!isAlice(mapping, names, 0), mapping.by);
  }
  const subject: CardMapping = { by: 'subject', file: '/map' };
  assert.ok(isAlice(subject, names, 0, 'alice CN=alice\n'));
});

test('the file of subjects: whole lines, and all of them right', () => {
  const subject: CardMapping = { by: 'subject', file: '/map' };
  const map = '# cards\n\n  bob CN=Bob\n\talice\tCN=Alice\\, A,O=Lab  \r\nalice CN=Two\\ \n';
  assert.ok(isAlice(subject, { text: 'CN=Alice\\, A,O=Lab' }, 1000, map));
  assert.ok(isAlice(subject, { text: 'CN=Two\\ ' }, 1000, map));
  for (const text of ['CN=Bob', 'CN=Alice', 'CN=Alice\\, A', 'CN=Alice\\, A,O=Lab,C=DE', '']) {
    assert.ok(!isAlice(subject, { text }, 1000, map), text);
  }
  for (const wrong of ['alice\n', 'CN=Alice,O=Lab\n', 'ok CN=x\nalice nothing\n']) {
    assert.throws(
      () => readCardSubjects(Buffer.from(wrong)),
      /line \d: not an account and a subject/,
    );
  }
});

/** DER of a name with these sets of attributes. */
function nameOf(
  ...sets: readonly (readonly [oid: string, tag: number, value: Buffer][])[]
): string {
  const wrap = (tag: number, ...parts: readonly Buffer[]): Buffer => {
    const content = Buffer.concat(parts);
    return Buffer.concat([Buffer.from([tag, content.length]), content]);
  };
  const der = wrap(
    0x30,
    ...sets.map((set) =>
      wrap(
        0x31,
        ...set.map(([oid, tag, value]) =>
          wrap(0x30, wrap(0x06, Buffer.from(oid, 'hex')), wrap(tag, value)),
        ),
      ),
    ),
  );
  return readName(new DerReader(der), 'a name').text;
}

test('no value of a subject can be read as another attribute', () => {
  const cn = '550403';
  const o = '55040a';
  const text = (value: string): Buffer => Buffer.from(value);
  const one = nameOf([[o, 12, text('Lab')]], [[cn, 12, text('Alice')]]);
  assert.equal(one, 'CN=Alice,O=Lab');
  const others = [
    nameOf([[cn, 12, text('Alice,O=Lab')]]),
    nameOf([
      [cn, 12, text('Alice')],
      [o, 12, text('Lab')],
    ]),
    nameOf([[o, 12, text('Lab')]], [[cn, 12, text('Alice\0')]]),
    nameOf([[o, 12, text('Lab')]], [[cn, 12, text(' Alice')]]),
    nameOf([[o, 12, text('Lab')]], [[cn, 20, text('Alice')]]),
    nameOf([[o, 12, text('Lab')]], [['2a0304', 12, text('Alice')]]),
    nameOf([[cn, 12, text('Alice\\,O=Lab')]]),
    nameOf([[cn, 12, text('#0C05416C696365')]]),
  ];
  assert.equal(new Set([one, ...others]).size, others.length + 1, others.join('\n'));
  assert.throws(() => nameOf([[cn, 19, Buffer.from([0xc3, 0xa9])]]), /does not have/);
  assert.throws(() => nameOf([[cn, 12, Buffer.from([0xff])]]), /not in its encoding/);
});
