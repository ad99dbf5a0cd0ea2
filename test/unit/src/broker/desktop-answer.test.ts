/** Answers to PAM's questions that come where none belongs. Runs in: test. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MonitorRefusal } from '../../../../src/base/errors.ts';
import { DesktopAnswer } from '../../../../src/broker/link.ts';
import {
  type ReauthenticationContext,
  reauthenticationRows,
} from '../../../../src/broker/requests/desktop-reauthenticate.ts';
import type { Connection } from '../../../../src/monitor/connection.ts';

test('answers of a session that is no desktop are refused, and erased', async () => {
  const rows = reauthenticationRows({} as unknown as ReauthenticationContext);
  const row = rows.find(({ schema }) => schema.name === DesktopAnswer.name);
  const connection = { sessions: new Map(), mayReachDesktopDirectly: false };
  const answers = [Buffer.from('secret'), Buffer.from('123456')];
  await assert.rejects(
    Promise.try(() =>
      row?.handle(connection as unknown as Connection, { connection: 1, session: 7, answers }),
    ),
    MonitorRefusal,
  );
  assert.ok(answers.every((answer) => answer.every((byte) => byte === 0)));
});
