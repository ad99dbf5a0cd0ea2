/**
 * Brings a SQLite file to the newest schema: `user_version` is the number of steps taken. One that is
 * there already is only read, so that nobody waits for a lock. Runs in: monitor, launcher.
 */
import type { DatabaseSync } from 'node:sqlite';
import { ConfigError } from './errors.ts';

/** Throws ConfigError for a file of a newer version. A step is never edited once released. */
export function migrate(database: DatabaseSync, path: string, steps: readonly string[]): void {
  if (stepsTaken(database, path, steps) === steps.length) {
    return;
  }
  // Two processes may be started at once.
  database.exec('BEGIN IMMEDIATE');
  try {
    const taken = stepsTaken(database, path, steps);
    for (const [index, step] of steps.entries()) {
      if (index >= taken) {
        database.exec(`${step} PRAGMA user_version = ${index + 1};`);
      }
    }
    database.exec('COMMIT');
  } catch (error) {
    database.exec('ROLLBACK');
    throw error;
  }
}

function stepsTaken(database: DatabaseSync, path: string, steps: readonly string[]): number {
  const taken = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
  if (taken > steps.length) {
    throw new ConfigError(`${path}: written by a newer version (schema ${taken})`);
  }
  return taken;
}
