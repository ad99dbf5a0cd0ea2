import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { drawDesktopStates } from '../../../../src/broker/states.ts';
import { drawDisplayCommands } from '../../../../subsystems/display/commands/index.ts';

test('docs/reference/desktops.md shows the tables of the code', () => {
  const page = readFileSync(
    new URL('../../../../docs/reference/desktops.md', import.meta.url),
    'utf8',
  );
  assert.ok(page.includes(drawDesktopStates()));
  assert.ok(page.includes(drawDisplayCommands()));
});
