/**
 * Fuzzes for as long as you like: `npm run fuzz -- TARGET SECONDS [SEED]`, with `all` for one after
 * another. Inputs that reach new code are kept for the run (V8's own block coverage tells); one that
 * breaks something is written to corpus/TARGET/found-…, where the tests then find it.
 * `npm run fuzz -- seeds TARGET` writes the seeds of a target into its corpus.
 */
import { Mutator } from '../support/mutator.ts';
import { CoverageWatch } from './coverage.ts';
import { forgetSeeds, keep, readCorpus } from './corpus.ts';
import { someDelivery } from './delivery.ts';
import type { FuzzTarget } from './target.ts';
import { fuzzTargets } from './targets/index.ts';

const batch = 64;
const mostFindings = 5;
const mostInputBytes = 64 * 1024;

interface Result {
  readonly runs: number;
  readonly findings: number;
}

/** A throw outside of any promise is a finding of the input that runs. */
let running: { readonly target: FuzzTarget; readonly input: Buffer } | undefined;
function report(error: unknown, seed: string): void {
  if (running === undefined) {
    throw error;
  }
  const file = keep(running.target, running.input, 'found');
  const text = error instanceof Error ? error.stack : String(error);
  process.stdout.write(`${running.target.name}: ${seed}: ${file}\n${text}\n`);
}

async function fuzz(target: FuzzTarget, seconds: number, seed: number): Promise<Result> {
  const mutator = new Mutator(seed);
  const pool = readCorpus(target).map(({ bytes }) => bytes);
  const kept = pool.length;
  using coverage = new CoverageWatch();
  const until = performance.now() + seconds * 1000;
  let runs = 0;
  let findings = 0;
  let recent: Buffer[] = [];
  while (performance.now() < until && findings < mostFindings) {
    const original = pool[mutator.below(pool.length)] as Buffer;
    const input = mutator.bytes(
      mutator.below(8) === 0 ? spliced(pool, original, mutator) : original,
    );
    running = { target, input };
    try {
      await target.run(someDelivery(target, input, mutator));
    } catch (error) {
      findings++;
      report(error, mutator.name);
    }
    runs++;
    recent.push(input);
    if (recent.length === batch) {
      // Which of the batch it was is not known; half of them at random keeps the pool small.
      if (coverage.hasGrown() && pool.length < kept + 4096) {
        pool.push(...recent.filter((one) => one.length < mostInputBytes && mutator.below(4) === 0));
      }
      recent = [];
    }
  }
  running = undefined;
  return { runs, findings };
}

/** The head of one and the tail of another. */
function spliced(pool: readonly Buffer[], one: Buffer, mutator: Mutator): Buffer {
  const other = pool[mutator.below(pool.length)] as Buffer;
  return Buffer.concat([
    one.subarray(0, mutator.below(one.length + 1)),
    other.subarray(mutator.below(other.length + 1)),
  ]);
}

/** Those of before are taken away: what they were made from has changed. */
function writeSeeds(targets: readonly FuzzTarget[]): void {
  for (const target of targets) {
    forgetSeeds(target);
    const files = target.seeds().map((bytes) => keep(target, bytes, 'seed'));
    process.stdout.write(`${target.name}: ${files.length}\n`);
  }
}

const [name = '', secondsText = '60', seedText] = process.argv.slice(2);
const named = (wanted: string) =>
  fuzzTargets.filter((target) => wanted === 'all' || target.name === wanted);
const chosen = named(name);
if (name === 'seeds') {
  writeSeeds(named(secondsText));
} else if (chosen.length === 0) {
  const names = fuzzTargets.map((target) => target.name).join(' ');
  process.stderr.write(`usage: npm run fuzz -- TARGET SECONDS [SEED]; targets: all ${names}\n`);
  process.exitCode = 2;
} else {
  const seed = seedText === undefined ? Date.now() % 0x7fffffff : Number(seedText);
  process.on('uncaughtException', (error) => {
    report(error, `FUZZ_SEED=${seed}`);
    process.exitCode = 1;
  });
  for (const target of chosen) {
    const { runs, findings } = await fuzz(target, Number(secondsText), seed);
    process.stdout.write(`${target.name}: ${runs} runs, ${findings} findings\n`);
    process.exitCode = findings > 0 ? 1 : process.exitCode;
  }
}
