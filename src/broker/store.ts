/**
 * Desktops, living and past, in SQLite: what a new monitor needs to find them again, and the
 * history that people ask for. One writer at a time (the monitor that owns the desktops). Runs in:
 * monitor.
 */
import { chmodSync, closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { ConfigError } from '../base/errors.ts';
import { migrate } from '../base/migrations.ts';
import { type DesktopState, desktopStates } from './states.ts';

export interface DesktopRecord {
  readonly id: string;
  readonly name: string;
  readonly owner: string;
  readonly uid: number;
  readonly state: DesktopState;
  readonly engine: string;
  readonly type: string;
  readonly display: number;
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly directory: string;
  readonly startedAtMs: number;
  readonly lastUsedAtMs: number;
  readonly endedAtMs: number | undefined;
  /** Why it ended or failed; empty while it lives. */
  readonly reason: string;
}

export interface HistoryLimits {
  readonly maxAgeMs: number;
  readonly maxRows: number;
}
export const historyLimits: HistoryLimits = { maxAgeMs: 30 * 24 * 3_600_000, maxRows: 10_000 };

const maxReasonCharacters = 1024;
const busyTimeoutMs = 2_000;

/** `user_version` is the number of steps taken; a step is never edited once released. */
const migrations: readonly string[] = [
  `CREATE TABLE desktop (
     id TEXT PRIMARY KEY NOT NULL,
     name TEXT NOT NULL,
     owner TEXT NOT NULL,
     uid INTEGER NOT NULL,
     state TEXT NOT NULL,
     engine TEXT NOT NULL,
     type TEXT NOT NULL,
     display INTEGER NOT NULL,
     width INTEGER NOT NULL,
     height INTEGER NOT NULL,
     depth INTEGER NOT NULL,
     directory TEXT NOT NULL,
     startedAt INTEGER NOT NULL,
     lastUsedAt INTEGER NOT NULL,
     endedAt INTEGER,
     reason TEXT NOT NULL
   ) STRICT;
   CREATE UNIQUE INDEX liveName ON desktop (uid, name)
     WHERE state IN ('starting', 'running', 'detached');
   CREATE UNIQUE INDEX liveDisplay ON desktop (display) WHERE endedAt IS NULL;
   CREATE INDEX endedAt ON desktop (endedAt) WHERE endedAt IS NOT NULL;`,
];

type Row = Record<string, unknown>;

function recordOf(row: Row): DesktopRecord {
  const state = String(row['state']);
  if (!Object.hasOwn(desktopStates, state)) {
    throw new ConfigError(`the store holds a desktop in the unknown state ${state}`);
  }
  const { startedAt, lastUsedAt, endedAt, ...same } = row;
  return {
    ...(same as unknown as Omit<DesktopRecord, 'startedAtMs' | 'lastUsedAtMs' | 'endedAtMs'>),
    startedAtMs: Number(startedAt),
    lastUsedAtMs: Number(lastUsedAt),
    endedAtMs: endedAt === null ? undefined : Number(endedAt),
  };
}

export class DesktopStore {
  readonly #database: DatabaseSync;
  readonly #limits: HistoryLimits;

  /** Creates the file (0600) if there is none; `:memory:` keeps nothing. */
  constructor(path: string, limits: HistoryLimits = historyLimits) {
    if (path !== ':memory:') {
      // SQLite gives its -wal and -shm files the mode of the database.
      closeSync(openSync(path, 'a', 0o600));
      chmodSync(path, 0o600);
    }
    this.#limits = limits;
    this.#database = new DatabaseSync(path, { timeout: busyTimeoutMs });
    try {
      this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
      migrate(this.#database, path, migrations);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** Fails when the uid has a live one of this name, or the display is in use. */
  insert(desktop: DesktopRecord): void {
    this.#database
      .prepare(
        `INSERT INTO desktop VALUES (:id, :name, :owner, :uid, :state, :engine, :type, :display,
           :width, :height, :depth, :directory, :startedAt, :lastUsedAt, :endedAt, :reason)`,
      )
      .run({
        id: desktop.id,
        name: desktop.name,
        owner: desktop.owner,
        uid: desktop.uid,
        state: desktop.state,
        engine: desktop.engine,
        type: desktop.type,
        display: desktop.display,
        width: desktop.width,
        height: desktop.height,
        depth: desktop.depth,
        directory: desktop.directory,
        startedAt: desktop.startedAtMs,
        lastUsedAt: desktop.lastUsedAtMs,
        endedAt: desktop.endedAtMs ?? null,
        reason: desktop.reason,
      });
  }

  setState(id: string, state: DesktopState): void {
    this.#database.prepare('UPDATE desktop SET state = ? WHERE id = ?').run(state, id);
  }

  /** While it starts: another display is tried. */
  setDisplay(id: string, display: number): void {
    this.#database.prepare('UPDATE desktop SET display = ? WHERE id = ?').run(display, id);
  }

  /** A viewer or a program of the user has chosen another one. */
  setSize(id: string, width: number, height: number): void {
    this.#database
      .prepare('UPDATE desktop SET width = ?, height = ? WHERE id = ?')
      .run(width, height, id);
  }

  setUsed(id: string, lastUsedAtMs: number): void {
    this.#database.prepare('UPDATE desktop SET lastUsedAt = ? WHERE id = ?').run(lastUsedAtMs, id);
  }

  setEnded(id: string, state: 'ended' | 'failed', endedAtMs: number, reason: string): void {
    this.#database
      .prepare('UPDATE desktop SET state = ?, endedAt = ?, reason = ? WHERE id = ?')
      .run(state, endedAtMs, reason.slice(0, maxReasonCharacters), id);
    this.#forget(endedAtMs);
  }

  /** Everything that has not ended, oldest first. */
  unfinished(): readonly DesktopRecord[] {
    return this.#database
      .prepare('SELECT * FROM desktop WHERE endedAt IS NULL ORDER BY startedAt, id')
      .all()
      .map((row) => recordOf(row as Row));
  }

  /** What has ended, newest first; of everybody if `uid` is undefined. */
  history(uid: number | undefined, maxRows: number): readonly DesktopRecord[] {
    const whose = uid === undefined ? '' : 'AND uid = :uid';
    return this.#database
      .prepare(
        `SELECT * FROM desktop WHERE endedAt IS NOT NULL ${whose}
         ORDER BY endedAt DESC, id LIMIT :maxRows`,
      )
      .all({ maxRows, ...(uid === undefined ? {} : { uid }) })
      .map((row) => recordOf(row as Row));
  }

  #forget(nowMs: number): void {
    this.#database
      .prepare('DELETE FROM desktop WHERE endedAt < ?')
      .run(nowMs - this.#limits.maxAgeMs);
    this.#database
      .prepare(
        `DELETE FROM desktop WHERE id IN (SELECT id FROM desktop WHERE endedAt IS NOT NULL
           ORDER BY endedAt DESC, id LIMIT -1 OFFSET ?)`,
      )
      .run(this.#limits.maxRows);
  }

  close(): void {
    this.#database.close();
  }
}
