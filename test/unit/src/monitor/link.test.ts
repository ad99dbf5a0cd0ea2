import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as desktops from '../../../../src/broker/link.ts';
import * as leader from '../../../../pam/leader-protocol.ts';
import * as monitor from '../../../../src/monitor/link.ts';

/** The highest bit of a number is that of a reply. */
const mostNumber = 127;

for (const [name, modules] of [
  ['worker and monitor', [monitor, desktops]],
  ['monitor and leader', [leader]],
] as const) {
  test(`every message between ${name} has a number of its own`, () => {
    const messages = modules
      .flatMap((module): unknown[] => Object.values(module))
      .filter(
        (value): value is { number: number; name: string } =>
          typeof value === 'object' && value !== null && 'number' in value && 'name' in value,
      );
    assert.ok(messages.length > 15, 'the messages are not where they were');
    const names = new Map<number, string[]>();
    for (const message of messages) {
      names.set(message.number, [...(names.get(message.number) ?? []), message.name]);
    }
    assert.deepEqual(
      [...names.values()].filter((all) => all.length > 1),
      [],
    );
    assert.ok(messages.every(({ number }) => number > 0 && number <= mostNumber));
  });
}
