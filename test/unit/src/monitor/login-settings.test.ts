import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { longestTimerMs } from '../../../../src/base/limits.ts';
import { graceTimer, loginSettings } from '../../../../src/monitor/login-settings.ts';
import { loadConfig } from '../../../../src/policy/load.ts';
import { memorySource } from '../../../support/config-files.ts';

const daysMs = (days: number): number => days * 24 * 3_600_000;

test('a LoginGraceTime of more than Node’s longest timer is not over at once', async () => {
  let isOver = false;
  const timer = graceTimer({ loginGraceTimeMs: daysMs(30) }, () => {
    isOver = true;
  });
  try {
    assert.ok(timer !== undefined);
    await delay(50);
    assert.ok(!isOver);
  } finally {
    clearTimeout(timer);
  }
});

test('LoginGraceTime 0 is no limit, a short one is kept', async () => {
  assert.equal(
    graceTimer({ loginGraceTimeMs: 0 }, () => assert.fail('over')),
    undefined,
  );
  const { promise, resolve } = Promise.withResolvers<void>();
  graceTimer({ loginGraceTimeMs: 10 }, resolve);
  await promise;
});

test('what the worker is told fits its timers', async () => {
  const file = '/etc/ssh/sshd_config';
  const source = memorySource({ [file]: 'ClientAliveInterval 30d\nClientAliveCountMax 2\n' });
  const { config } = await loadConfig({ file, commandLine: [], source });
  assert.equal(config.clientAliveIntervalMs, daysMs(30));
  const told = loginSettings(config);
  assert.deepEqual([told.aliveIntervalMs, told.aliveCountMax], [longestTimerMs, 2]);
});
