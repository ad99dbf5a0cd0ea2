/** A line of the log is one line, whatever a client calls itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Log, type LogLevel, logLevels, StreamSink } from '../../../../src/audit/log.ts';

function logged(level: LogLevel, act: (log: Log) => void): string {
  let text = '';
  act(new Log(new StreamSink((more) => (text += more)), level));
  return text;
}

test('no control character reaches the log: no line is forged, no terminal driven', () => {
  for (let code = 0; code < 0x2100; code++) {
    const character = String.fromCharCode(code);
    const line = logged('INFO', (log) => log.info(`a${character}b`));
    assert.ok(line.endsWith('\r\n'));
    // Besides C0 and C1: line and paragraph separators, embeddings and overrides of direction.
    assert.doesNotMatch(line.slice(0, -2), /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u);
  }
  const forged = logged('INFO', (log) => log.info('Invalid user x\nAccepted password for root'));
  assert.equal(forged, 'Invalid user x\\012Accepted password for root\r\n');
});

test('names in other scripts stay readable', () => {
  assert.equal(
    logged('INFO', (log) => log.info('jürgen 山田')),
    'jürgen 山田\r\n',
  );
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
