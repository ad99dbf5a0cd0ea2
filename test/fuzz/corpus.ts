/** The inputs that are kept: corpus/TARGET/*, one file each. */
import { createHash } from 'node:crypto';
import { globSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { FuzzTarget } from './target.ts';

const root = path.join(import.meta.dirname, 'corpus');

export interface KeptInput {
  readonly name: string;
  readonly bytes: Buffer;
}

export function readCorpus(target: FuzzTarget): readonly KeptInput[] {
  const folder = path.join(root, target.name);
  return readdirSync(folder)
    .sort()
    .map((name) => ({ name, bytes: readFileSync(path.join(folder, name)) }));
}

/** Keeps an input under a name of its own; where it is now. */
export function keep(target: FuzzTarget, bytes: Buffer, kind: 'seed' | 'found'): string {
  const folder = path.join(root, target.name);
  mkdirSync(folder, { recursive: true });
  const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 12);
  const file = path.join(folder, `${kind}-${digest}`);
  writeFileSync(file, bytes);
  return file;
}

/** Takes the inputs away that `seeds` of the target made; what was found since stays. */
export function forgetSeeds(target: FuzzTarget): void {
  for (const file of globSync(path.join(root, target.name, 'seed-*'))) {
    rmSync(file);
  }
}
