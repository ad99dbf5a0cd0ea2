/** LogFormat json: one object per line, whatever a client says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JsonSink } from '../../../../src/audit/json.ts';
import { Log } from '../../../../src/audit/log.ts';
import { StreamSink } from '../../../../src/audit/stream.ts';
import { loggedName } from '../../../../src/audit/text.ts';

const subject = {
  id: '0123456789abcdef',
  processNumber: 4_194_305,
  endpoints: {
    remoteAddress: '192.0.2.1',
    remotePort: 50_000,
    localAddress: '192.0.2.2',
    localPort: 22,
  },
  loggedUser: undefined as string | undefined,
};

function logged(act: (log: Log) => void): string {
  let text = '';
  act(new Log(new JsonSink(new StreamSink((more) => (text += more), '\n')), 'VERBOSE'));
  return text;
}

test('a line about a connection carries what it is about', () => {
  const about = { ...subject, loggedUser: 'alice' };
  const text = logged((log) =>
    log.about(about).info('Failed password for alice', {
      event: 'authentication.failed',
      isValidUser: true,
      method: 'password',
    }),
  );
  const { time, ...rest } = JSON.parse(text) as Record<string, unknown>;
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(rest, {
    level: 'INFO',
    event: 'authentication.failed',
    message: 'Failed password for alice',
    pid: 4_194_305,
    connection: '0123456789abcdef',
    address: '192.0.2.1',
    port: 50_000,
    localAddress: '192.0.2.2',
    localPort: 22,
    user: 'alice',
    isValidUser: true,
    method: 'password',
  });
});

test('no name ends a line, forges a field or leaves ASCII', () => {
  for (const name of [
    '","user":"root',
    'a\nb\r\u0000',
    '\u202e\u2028ü',
    '\\',
    '\u001b]0;x\u0007',
  ]) {
    const text = logged((log) =>
      log.about({ ...subject, loggedUser: name }).error(`Invalid user ${name}`),
    );
    assert.match(text, /^[ -~]+\n$/);
    const { user, message } = JSON.parse(text) as Record<string, unknown>;
    assert.deepEqual([user, message], [name, `Invalid user ${name}`]);
  }
  const broken = logged((log) => log.info(loggedName(Buffer.from([0x61, 0xff]))));
  assert.match(broken, /"message":"a\\udcff"/);
});

test('lines of no connection say so, and a field without a value is left out', () => {
  const text = logged((log) => log.info('x', { event: 'connection.closed', reason: undefined }));
  assert.deepEqual(Object.keys(JSON.parse(text) as object), [
    ...['time', 'level', 'event', 'message', 'pid'],
  ]);
});
