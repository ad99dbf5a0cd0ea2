/** Options, host and command of `connect`, as ssh tells them apart. Runs in: test. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EscapeFilter } from '../../../../../src/cli/connect/escape.ts';
import { arrangeWords, commandBytes } from '../../../../../src/cli/connect/words.ts';

const known = new Map([
  ...['p', 'o', 'l', 'L', 's', 'screenshot'].map((name) => [name, true] as const),
  ...['N', 'T', 't', 'A', 'list', 'batch', 'pkcs11'].map((name) => [name, false] as const),
]);

const cases: readonly (readonly [string, string])[] = [
  ['host', 'host'],
  ['host --list', '--list host'],
  ['--screenshot a.png host --batch', '--screenshot a.png --batch host'],
  [
    'host rsync --server -vlogDtpre.iLsfxCIvu . /x',
    'host -- rsync --server -vlogDtpre.iLsfxCIvu . /x',
  ],
  ['-l user host rsync --server', '-l user host -- rsync --server'],
  ['host -p 22 id', '-p 22 host -- id'],
  ['host -- --list', 'host -- --list'],
  ['-- host id -u', 'host -- id -u'],
  ['-- host -- id', 'host -- -- id'],
  ['-p22 -oBatchMode=yes host', '-p 22 -o BatchMode=yes host'],
  ['-NTL 8080:a:80 host', '-N -T -L 8080:a:80 host'],
  ['-ttL8080:a:80 host top', '-t -t -L 8080:a:80 host -- top'],
  ['host 007', 'host -- 007'],
  ['--pkcs11 host id --pkcs11 /x', '--pkcs11= host -- id --pkcs11 /x'],
  ['--pkcs11 /x.so host', '--pkcs11=/x.so host'],
  ['-s -- host sftp', '-s sftp host'],
  ['-s sftp host', '-s sftp host'],
  ['-- -oBatchMode=yes host', '-- -oBatchMode=yes host'],
  ['-N -- -l user host', '-N -- -l user host'],
  ['host -Z', '-Z host'],
  ['host -NZ', '-N -NZ host'],
  ['', ''],
  ['--', ''],
];
for (const [given, arranged] of cases) {
  test(`connect ${given}`, () => {
    const words = given === '' ? [] : given.split(' ');
    assert.equal(arrangeWords(words, known).join(' '), arranged);
  });
}

test('a command is joined by blanks, an empty word too', () => {
  assert.equal(commandBytes(['printf', '', 'é']).toString(), 'printf  é');
});

test('~. at the beginning of a line leaves; ~~ is one; anything else is the program’s', () => {
  const type = (...chunks: readonly string[]) => {
    const filter = new EscapeFilter();
    let seen = '';
    for (const chunk of chunks) {
      const { bytes, isLeft } = filter.take(Buffer.from(chunk));
      seen += bytes.toString();
      if (isLeft) return `${seen} left`;
    }
    return seen;
  };
  assert.equal(type('~.'), ' left');
  assert.equal(type('ls\r', '~', '.', 'x'), 'ls\r left');
  assert.equal(type('a~.'), 'a~.');
  assert.equal(type('~~.'), '~.');
  assert.equal(type('~x~.'), '~x~.');
  assert.equal(type('~\r~.'), '~\r left');
});
