/**
 * The fences that a worker closes behind itself once everything is loaded, each tried afterwards:
 * what could still be read or loaded would be an attacker's too. Runs in: worker.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { installSeccomp, setNotDumpable } from '../base/confine.native.ts';
import { NativeError } from '../base/errors.ts';

/** Node's names (process.permission.drop); one that does not exist would be ignored silently. */
const permissions = ['fs', 'child', 'worker', 'addon', 'inspector', 'wasi'] as const;

interface Permission {
  has(name: string): boolean;
  drop(name: string): void;
}

function isDenied(attempt: () => unknown): boolean {
  try {
    attempt();
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ERR_ACCESS_DENIED';
  }
}

function dropPermissions(): void {
  const { permission } = process as unknown as { readonly permission?: Permission };
  if (permission === undefined) {
    throw new NativeError('node', 0, 'the permission model is off');
  }
  for (const name of permissions) {
    permission.drop(name);
  }
  const load = createRequire(import.meta.url);
  if (!isDenied(() => readFileSync(import.meta.filename))) {
    throw new NativeError('node', 0, 'files can still be read');
  }
  if (!isDenied(() => process.dlopen({ exports: {} } as NodeJS.Module, import.meta.filename))) {
    throw new NativeError('node', 0, 'native code can still be loaded');
  }
  if (!isDenied(() => load('node:child_process').spawnSync('/bin/true'))) {
    throw new NativeError('node', 0, 'programs can still be started');
  }
}

const steps: readonly (readonly [name: string, step: () => void])[] = [
  ['non-dumpable', setNotDumpable],
  ['permissions', dropPermissions],
  ['seccomp', installSeccomp],
];

/** The steps that failed; strict: the first that fails ends the worker. */
export function confine(confinement: 'strict' | 'relaxed'): readonly string[] {
  const skipped: string[] = [];
  for (const [name, step] of steps) {
    try {
      step();
    } catch (error) {
      if (confinement === 'strict') {
        throw error;
      }
      skipped.push(`${name} (${(error as Error).message})`);
    }
  }
  return skipped;
}
