/** What may come to a SOCKS port of a client: a request, or a refusal within its bound. */
import assert from 'node:assert/strict';
import { SocksDialogue, type SocksStep, socksRequestBytes } from '../../../src/forwarding/socks.ts';
import type { FuzzTarget } from '../target.ts';

const name = [...Buffer.from('intranet.example')];

/** As a listener does: again after each reply. */
function end(dialogue: SocksDialogue, held: Buffer): SocksStep {
  for (;;) {
    const step = dialogue.take(held.subarray(0, socksRequestBytes));
    if (step.is !== 'more' || step.reply === null) return step;
  }
}

export const socks: FuzzTarget = {
  name: 'socks',
  isStream: true,
  perSecond: 5_000,
  seeds: () => [
    Buffer.from([5, 1, 0, 5, 1, 0, 3, name.length, ...name, 1, 187]),
    Buffer.from([5, 2, 2, 0, 5, 1, 0, 1, 10, 0, 0, 7, 0, 80]),
    Buffer.from([5, 1, 0, 5, 1, 0, 4, ...Buffer.alloc(15), 1, 0, 22]),
    Buffer.from([4, 1, 0, 80, 10, 0, 0, 7, 117, 0]),
    Buffer.from([4, 1, 0, 80, 0, 0, 0, 1, 117, 0, ...name, 0]),
  ],
  async run(pieces) {
    const dialogue = new SocksDialogue();
    let held = Buffer.alloc(0);
    let step: SocksStep = { is: 'more', reply: null };
    for (const piece of pieces) {
      held = Buffer.concat([held, piece]);
      if (step.is === 'more') step = end(dialogue, held);
    }
    assert.equal(step.is, end(new SocksDialogue(), held).is, 'the pieces make no difference');
    if (step.is === 'more') assert.ok(held.length < socksRequestBytes, 'it waits for nothing');
    if (step.is === 'connect') {
      assert.match(step.target.host, /^[\x21-\x7e]{1,255}$/);
      assert.ok(step.target.port > 0 && step.used <= socksRequestBytes);
    }
  },
};
