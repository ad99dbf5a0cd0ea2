/** The ways in which one input comes: whole, byte by byte, in two pieces, cut off. */
import type { Mutator } from '../support/mutator.ts';
import type { FuzzTarget } from './target.ts';

/** Every offset of a short input, as many of a long one, evenly spread. */
function offsets(bytes: number, most: number): readonly number[] {
  const step = Math.max(1, Math.ceil(bytes / most));
  return Array.from({ length: Math.ceil(bytes / step) }, (_, index) => index * step);
}

export function bytewise(input: Buffer): readonly Buffer[] {
  return Array.from(input, (_, at) => input.subarray(at, at + 1));
}

/** In order: whole; for streams byte by byte and in two pieces; cut at each offset. */
export function* deliveries(
  target: FuzzTarget,
  input: Buffer,
  mostCuts: number,
): Generator<readonly Buffer[]> {
  yield [input];
  const cuts = offsets(input.length, mostCuts);
  if (target.isStream) {
    yield bytewise(input);
    for (const at of cuts) {
      yield [input.subarray(0, at), input.subarray(at)];
    }
  }
  for (const at of cuts) {
    yield [input.subarray(0, at)];
  }
}

/** As `mutator` likes it. */
export function someDelivery(
  target: FuzzTarget,
  input: Buffer,
  mutator: Mutator,
): readonly Buffer[] {
  if (!target.isStream || mutator.below(2) === 0) {
    return [input];
  }
  const at = mutator.below(input.length + 1);
  return [input.subarray(0, at), input.subarray(at)];
}
