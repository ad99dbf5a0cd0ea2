import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacketMemory } from '../../../../../src/ssh/transport/packet-memory.ts';

test('padding is random, within its bounds, and never the same twice', () => {
  const memory = new PacketMemory();
  const seen = new Set<string>();
  for (let round = 0; round < 2000; round++) {
    const into = Buffer.alloc(20);
    memory.pad(into, 2, 16);
    assert.equal(into.readUInt16BE(0), 0);
    assert.equal(into.readUInt16BE(18), 0);
    seen.add(into.toString('hex'));
  }
  assert.equal(seen.size, 2000);
});

test('a few slabs are kept, no more', () => {
  const memory = new PacketMemory();
  const slabs = Array.from({ length: 20 }, () => memory.takeSlab());
  for (const slab of slabs) {
    memory.giveSlab(slab);
  }
  const again = Array.from({ length: 20 }, () => memory.takeSlab());
  assert.equal(again.filter((slab) => slabs.includes(slab)).length, 8);
});
