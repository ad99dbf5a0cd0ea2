/** A line of the log is one line, whatever a client calls itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Log, type LogLevel, logLevels } from '../../../../src/audit/log.ts';
import { StreamSink } from '../../../../src/audit/stream.ts';
import { bytesOf, loggedName, textOfBytes } from '../../../../src/audit/text.ts';

function logged(level: LogLevel, act: (log: Log) => void): string {
  let text = '';
  act(new Log(new StreamSink((more) => (text += more)), level));
  return text;
}

test('a line is printable ASCII alone: none is forged, no terminal driven, no direction turned', () => {
  for (let code = 0; code < 0x3100; code++) {
    const character = String.fromCodePoint(code);
    const line = logged('INFO', (log) => log.info(`a${character}b`));
    assert.match(line, /^a[ -~]+b\r\n$/);
  }
  const forged = logged('INFO', (log) => log.info('Invalid user x\nAccepted password for root'));
  assert.equal(forged, 'Invalid user x\\012Accepted password for root\r\n');
});

test('what is encoded is what vis(3) makes of it, and no two names look alike', () => {
  const rows = [
    ['jürgen', 'j\\303\\274rgen'],
    ['a\\012b', 'a\\\\012b'],
    ['a\tb\u001b[2J\u007f', 'a\\011b\\033[2J\\177'],
    ['%n%s%x', '%n%s%x'],
    ['\u202egnp.exe', '\\342\\200\\256gnp.exe'],
  ] as const;
  for (const [text, shown] of rows) {
    assert.equal(
      logged('INFO', (log) => log.info(text)),
      `${shown}\r\n`,
    );
  }
});

test('bytes that are no UTF-8 are shown as they came', () => {
  const bytes = Buffer.from([0x61, 0xff, 0xc3, 0xbc, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf0, 0x9f]);
  const text = textOfBytes(bytes);
  assert.deepEqual(bytesOf(text), bytes);
  assert.equal(
    logged('INFO', (log) => log.info(text)),
    'a\\377\\303\\274\\303(\\355\\240\\200\\360\\237\r\n',
  );
});

test('a name is cut at 100 bytes', () => {
  assert.equal(bytesOf(loggedName(Buffer.alloc(65_536, 'n'))).length, 100);
  assert.equal(bytesOf(loggedName(Buffer.from('ü'.repeat(99)))).length, 100);
  assert.equal(bytesOf(loggedName(Buffer.from(`x${'ü'.repeat(99)}`))).length, 100);
});

test('a line is cut', () => {
  const line = logged('INFO', (log) => log.info('x'.repeat(1_000_000)));
  assert.ok(line.length < 3000, `${line.length} characters`);
});

test('each level shows itself and what is worse, QUIET nothing', () => {
  for (const [at, level] of logLevels.entries()) {
    const text = logged(level, (log) => {
      for (const one of logLevels) {
        log.at(one, one);
      }
    });
    const shown = text.split('\r\n').filter(Boolean).length;
    assert.equal(shown, at, level);
  }
});
