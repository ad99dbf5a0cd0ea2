/** What a long configuration costs a login: 500 Match blocks in 128 KiB, at most 2 ms of this process. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../../../../src/policy/load.ts';
import type { MatchSubject } from '../../../../src/policy/match.ts';
import { memorySource } from '../../../support/config-files.ts';
import { longConfig, longConfigBlocks, longConfigBytes } from '../../../support/long-config.ts';

const file = '/etc/ssh/sshd_config';
const most = 2;
const rounds = 200;

const groups = Array.from({ length: 64 }, (_, index) => `some-group-of-the-machine-${index}`);
const alice: MatchSubject = {
  user: 'alice',
  isInvalidUser: false,
  groups,
  remoteHost: 'a.example.org',
  remoteAddress: '2001:db8::7',
  localAddress: '192.0.2.1',
  localPort: 22,
  routingDomain: '',
};
const hostile: MatchSubject = { ...alice, user: 'other'.repeat(50) };

for (const [name, criterion, subject] of [
  ['that apply to nobody', undefined, alice],
  ['for a name as long as one gets', undefined, hostile],
  ['that all apply', () => 'User *,!bob Address 192.0.2.0/24,2001:db8::/32 Group some*', alice],
  [
    'of networks',
    (index: number) => `Address ${index % 250}.0.0.0/8,!10.${index % 250}.0.0/16`,
    alice,
  ],
  ['of groups', (index: number) => `Group *x${index},*-${index}x,!none*`, alice],
] as const) {
  test(`500 Match blocks ${name} cost a login less than 2 ms`, async () => {
    const text = longConfig(criterion).join('\n');
    assert.ok(text.length >= longConfigBytes);
    const source = memorySource({ [file]: text });
    const { configFor, config } = await loadConfig({ file, commandLine: [], source });
    const applies = configFor(subject) !== config;
    assert.equal(applies, name === 'that all apply');
    const began = process.threadCpuUsage();
    for (let round = 0; round < rounds; round++) {
      configFor(subject);
    }
    const { user, system } = process.threadCpuUsage(began);
    const ms = (user + system) / 1000 / rounds;
    assert.ok(ms < most, `${ms} ms`);
  });
}

test('blocks that together say more than one line may are no error at a login', async () => {
  const names = (block: number) =>
    Array.from({ length: 20 }, (_, index) => `A${block}_${index}`).join(' ');
  const text = Array.from({ length: longConfigBlocks }, (_, index) =>
    ['Match User *', `AcceptEnv ${names(index)}`, `SetEnv V${index}=1 X=${index}`].join('\n'),
  ).join('\n');
  const source = memorySource({ [file]: text });
  const { configFor } = await loadConfig({ file, commandLine: [], source });
  const { acceptEnv, setEnv } = configFor(alice);
  assert.equal(acceptEnv.length, 20 * longConfigBlocks);
  assert.equal(setEnv.length, longConfigBlocks + 1);
  assert.deepEqual(setEnv[1], ['X', '0']);
});
