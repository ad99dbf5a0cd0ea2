import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MonitorRefusal } from '../../../../src/base/errors.ts';
import { underForcedCommand } from '../../../../src/broker/forced-desktop.ts';
import {
  DesktopAttach,
  DesktopFind,
  DesktopList,
  DesktopStart,
  DesktopSuspend,
  DesktopTerminate,
} from '../../../../src/broker/link.ts';
import { row } from '../../../../src/monitor/request-table.ts';
import { testConnection, testLogin } from '../../../support/monitor-connection.ts';

const own = 'A'.repeat(32);
const other = 'B'.repeat(32);
const schemas = [
  DesktopList,
  DesktopStart,
  DesktopFind,
  DesktopAttach,
  DesktopSuspend,
  DesktopTerminate,
];

function setUp(forcedCommand: string | undefined) {
  const { connection } = testConnection();
  connection.login = testLogin({ grant: { forcedCommand } });
  const ask = async (schema: (typeof schemas)[number], values: object): Promise<boolean> => {
    const wrapped = underForcedCommand(
      row({
        schema: schema as typeof DesktopFind,
        phase: ['postauth'],
        once: false,
        decides: false,
        serial: false,
        handle: () => ({ values: { desktop: { id: own } } as never }),
      }),
    );
    try {
      await wrapped.handle(connection, values as never);
      return true;
    } catch (error) {
      assert.ok(error instanceof MonitorRefusal, String(error));
      return false;
    }
  };
  return ask;
}

test('a forced rfb is the default desktop and nothing else', async () => {
  const ask = setUp('rfb');
  assert.equal(await ask(DesktopAttach, { id: own }), false, 'before it was found');
  assert.equal(await ask(DesktopFind, { which: '', create: 1 }), true);
  assert.equal(await ask(DesktopAttach, { id: own }), true);
  assert.equal(await ask(DesktopAttach, { id: other }), false);
  assert.equal(await ask(DesktopFind, { which: 'other', create: 1 }), false);
  assert.equal(await ask(DesktopFind, { which: '', create: 0 }), false);
  for (const schema of [DesktopList, DesktopStart, DesktopSuspend, DesktopTerminate]) {
    assert.equal(await ask(schema, { id: own }), false, schema.name);
  }
});

test('without a forced command, and under a forced display, all of them are the user’s', async () => {
  for (const forced of [undefined, 'display']) {
    const ask = setUp(forced);
    for (const schema of schemas) {
      assert.equal(await ask(schema, { id: other, which: 'x', create: 0 }), true, schema.name);
    }
  }
});
