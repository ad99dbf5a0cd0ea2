/** docs/reference/errors.md names every class of error there is, as it is, and no other. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CardError } from '../../../../keys/pkcs11/card-error.ts';
import { TokenAway } from '../../../../src/monitor/token-host-key.ts';
import * as errors from '../../../../src/base/errors.ts';
import { ClientFailure } from '../../../../src/ssh/client/failure.ts';
import { LinkEnded } from '../../../../src/ssh/wire/peer.ts';

const root = new URL('../../../../', import.meta.url);
const page = readFileSync(new URL('docs/reference/errors.md', root), 'utf8');

const rows = page
  .split('\n')
  .filter((line) => /^\| [A-Z]\w+ \| `/.test(line))
  .map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );

/** One of each; the constructors differ. */
const made: readonly errors.SshdeskError[] = [
  ...[
    errors.ProtocolError,
    errors.KexError,
    errors.NoAgreement,
    errors.MacError,
    errors.CompressionError,
    errors.ServiceUnavailable,
    errors.VersionError,
    errors.Lost,
    errors.ByApplication,
    errors.MonitorRefusal,
    errors.ChannelError,
    errors.ConfigError,
  ].map((Kind) => new Kind('x')),
  new errors.EngineError('run', 'x'),
  new errors.NativeError('pam', 1, 'x'),
  new LinkEnded('x'),
  new CardError('x'),
  new TokenAway('x'),
  new ClientFailure('usage', 'x'),
];

test('every error is on the page with its code, reason and text', () => {
  const expected = made.map((error) => [
    error.constructor.name,
    `\`${error.code}\``,
    ...(error instanceof errors.DisconnectError
      ? [String(error.reason), error instanceof errors.ByApplication ? 'its own' : error.peerText]
      : []),
  ]);
  assert.deepEqual(
    rows.map((row) => row.slice(0, -1)),
    expected,
  );
  assert.ok(
    rows.every((row) => row.at(-1) !== ''),
    'a row does not say when',
  );
});

test('every class of base/errors.ts is one of those compared', () => {
  const concrete = Object.entries(errors)
    .filter(([name]) => name !== 'SshdeskError' && name !== 'DisconnectError')
    .map(([name]) => name);
  const compared = made.map((error) => error.constructor.name);
  assert.deepEqual(
    concrete.filter((name) => !compared.includes(name)),
    [],
  );
});

test('every code in the sources is on the page, and stands in one place', () => {
  const codes = globSync('{src,pam,keys,subsystems}/**/*.ts', { cwd: root }).flatMap((file) =>
    [...readFileSync(new URL(file, root), 'utf8').matchAll(/code = '(SSHDESK_\w+)'/g)].map(
      (match) => match[1] as string,
    ),
  );
  assert.deepEqual(codes.toSorted(), made.map(({ code }) => code).toSorted());
});
