/**
 * Every target, short and the same each time: its corpus whole, byte by byte, cut at each offset,
 * and changed by a mutator with a fixed seed. `npm run fuzz` goes on from here.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Mutator } from '../support/mutator.ts';
import { readCorpus } from './corpus.ts';
import { deliveries, someDelivery } from './delivery.ts';
import { fuzzTargets } from './targets/index.ts';

const seed = Number(process.env.FUZZ_SEED ?? 20_260_101);

for (const target of fuzzTargets) {
  describe(`fuzz ${target.name}`, { timeout: 240_000 }, () => {
    const corpus = readCorpus(target);
    // Half a second for cuts, half for mutations.
    const runs = Math.ceil(target.perSecond / 2);
    const mostCuts = Math.max(4, Math.ceil(runs / corpus.length / (target.isStream ? 2 : 1)));

    test('its corpus, whole, in pieces, cut off', async () => {
      assert.ok(corpus.length >= 3, `${corpus.length} inputs`);
      for (const { name, bytes } of corpus) {
        let delivery = 0;
        for (const pieces of deliveries(target, bytes, mostCuts)) {
          try {
            await target.run(pieces);
          } catch (error) {
            throw new Error(`${name}, delivery ${delivery}`, { cause: error });
          }
          delivery++;
        }
      }
    });

    test(`${runs} mutations of it`, async () => {
      const mutator = new Mutator(seed);
      for (let run = 0; run < runs; run++) {
        const { name, bytes } = corpus[mutator.below(corpus.length)] as (typeof corpus)[number];
        const input = mutator.bytes(bytes);
        try {
          await target.run(someDelivery(target, input, mutator));
        } catch (error) {
          const text = `run ${run} from ${name}: ${input.toString('hex').slice(0, 4000)}`;
          throw new Error(text, { cause: error });
        }
      }
    });
  });
}
