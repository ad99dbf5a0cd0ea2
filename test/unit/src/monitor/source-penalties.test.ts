import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Log } from '../../../../src/audit/log.ts';
import { PenaltyTable } from '../../../../src/monitor/penalty-table.ts';
import { type PenaltyKind, SourcePenalties } from '../../../../src/monitor/source-penalties.ts';
import { penaltyDefaults } from '../../../../src/policy/source-keywords.ts';

function made(over: Partial<typeof penaltyDefaults> = {}, exempt = 'none') {
  const lines: string[] = [];
  const clock = { nowMs: 0 };
  const log = new Log(
    { write: (level, _prefix, line) => void lines.push(`${level} ${line}`) },
    'VERBOSE',
  );
  const made = new SourcePenalties(
    {
      sourcePenalties: { ...penaltyDefaults, ...over },
      perSourceNetBlockSize: { bits4: 32, bits6: 64 },
      perSourcePenaltyExemptList: exempt,
    },
    () => clock.nowMs,
  );
  const penalties = {
    refusal: (address: string) => made.refusal(address),
    penalise: (address: string, kind: PenaltyKind) => made.penalise(address, kind, log),
  };
  return { penalties, lines, clock };
}

test('with the defaults the fourth failure in a row locks out, and the wait has a limit', () => {
  const { penalties, clock } = made();
  for (let count = 1; count <= 3; count++) {
    penalties.penalise('192.0.2.1', 'authfail');
    assert.equal(penalties.refusal('192.0.2.1'), undefined, `${count} failures`);
  }
  penalties.penalise('192.0.2.1', 'authfail');
  assert.equal(penalties.refusal('192.0.2.1'), 'penalty: failed authentication');
  assert.equal(penalties.refusal('192.0.2.2'), undefined);
  for (let count = 0; count < 1000; count++) {
    penalties.penalise('192.0.2.1', 'authfail');
  }
  clock.nowMs = 599_999;
  assert.equal(penalties.refusal('192.0.2.1'), 'penalty: failed authentication');
  clock.nowMs = 600_001;
  assert.equal(penalties.refusal('192.0.2.1'), undefined);
});

test('the last reason is the one that is told, and what has become active stays so to its end', () => {
  const { penalties, clock, lines } = made();
  penalties.penalise('192.0.2.1', 'crash');
  assert.match(lines.join('\n'), /^INFO .*new 192\.0\.2\.1\/32 active penalty of 90\.000 seconds/m);
  penalties.penalise('192.0.2.1', 'noauth');
  clock.nowMs = 90_500;
  assert.equal(
    penalties.refusal('192.0.2.1'),
    'penalty: connections without attempting authentication',
  );
});

test('addresses of one block of IPv6 are one source, however they are written', () => {
  const { penalties } = made({ minMs: 0 });
  penalties.penalise('2001:db8::1', 'authfail');
  assert.notEqual(penalties.refusal('2001:db8:0:0:ffff::1'), undefined);
  assert.equal(penalties.refusal('2001:db8:0:1::1'), undefined);
  assert.equal(penalties.refusal('::1'), undefined);
});

test('hostile IPv6: a million sources leave a table of the size that was set', () => {
  const { penalties } = made({ minMs: 0, maxSources6: 1000 });
  penalties.penalise('192.0.2.1', 'authfail');
  const began = performance.now();
  for (let index = 0; index < 1_000_000; index++) {
    const [a, b] = [(index >> 16).toString(16), (index & 0xffff).toString(16)];
    penalties.penalise(`2001:db8:${a}:${b}::1`, 'authfail');
  }
  assert.ok(performance.now() - began < 60_000, 'each costs next to nothing');
  let left = 0;
  for (let index = 0; index < 1_000_000; index += 1) {
    const [a, b] = [(index >> 16).toString(16), (index & 0xffff).toString(16)];
    left += penalties.refusal(`2001:db8:${a}:${b}::1`) === undefined ? 0 : 1;
  }
  assert.equal(left, 1000);
  assert.notEqual(penalties.refusal('192.0.2.1'), undefined, 'IPv4 has a table of its own');
});

test('permissive: whoever would wait least makes room; the worst stays', () => {
  const { penalties } = made({ minMs: 0, maxSources4: 2 });
  penalties.penalise('192.0.2.1', 'crash');
  penalties.penalise('192.0.2.2', 'authfail');
  penalties.penalise('192.0.2.3', 'grace-exceeded');
  assert.notEqual(penalties.refusal('192.0.2.1'), undefined);
  assert.equal(penalties.refusal('192.0.2.2'), undefined);
  assert.notEqual(penalties.refusal('192.0.2.3'), undefined);
});

test('deny-all: a full table lets nobody in, of its own family', () => {
  const { penalties, clock } = made({ minMs: 0, maxSources4: 1, overflow4: 'deny-all' });
  penalties.penalise('192.0.2.1', 'authfail');
  assert.equal(penalties.refusal('192.0.2.2'), 'too many penalised addresses');
  assert.equal(penalties.refusal('::1'), undefined);
  clock.nowMs = 5_001;
  assert.equal(penalties.refusal('192.0.2.2'), undefined);
});

test('no penalties: off, exempt, of length 0, or of what has no address', () => {
  const cases = [
    made({ isOn: false, minMs: 0 }),
    made({ minMs: 0 }, '192.0.2.0/24'),
    made({ minMs: 0, authFailMs: 0 }),
  ];
  for (const { penalties } of cases) {
    penalties.penalise('192.0.2.1', 'authfail');
    assert.equal(penalties.refusal('192.0.2.1'), undefined);
  }
  const { penalties } = made({ minMs: 0 });
  penalties.penalise('UNKNOWN', 'crash');
  assert.equal(penalties.refusal('UNKNOWN'), undefined);
});

test('the table ends its penalties in order, whatever grew in the meantime', () => {
  const table = new PenaltyTable();
  let seed = 1;
  const random = () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed;
  };
  const ends = new Map<string, number>();
  for (let index = 0; index < 500; index++) {
    const block = `b${index}`;
    const endsMs = random() % 1000;
    ends.set(block, endsMs);
    table.insert({ block, endsMs, isActive: true, reason: '' });
  }
  for (let round = 0; round < 300; round++) {
    const block = `b${random() % 500}`;
    const grown = (ends.get(block) as number) + (random() % 500);
    ends.set(block, grown);
    const penalty = table.find(block);
    assert.ok(penalty !== undefined);
    penalty.endsMs = grown;
  }
  for (let nowMs = 0; nowMs <= 2600; nowMs += 13) {
    table.expire(nowMs);
    for (const [block, endsMs] of ends) {
      assert.equal(table.find(block) !== undefined, endsMs >= nowMs, `${block} at ${nowMs}`);
    }
  }
  assert.equal(table.size, 0);
});
