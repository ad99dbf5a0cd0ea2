/**
 * Logins, those that last and those that ended, in SQLite: what `sshdesk last` shows, and how one
 * daemon learns of the logins of another that drains. Several daemons write it, each its own rows,
 * so it is a file of its own: the desktops' has one writer. Runs in: monitor.
 */
import { chmodSync, closeSync, openSync, readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { migrate } from '../base/migrations.ts';

export interface LoginRecord {
  /** Of the connection; no other has it. */
  readonly id: string;
  readonly user: string;
  readonly uid: number;
  readonly address: string;
  readonly port: number;
  /** `publickey SHA256:…`, `password`, in the order in which they were given. */
  readonly factors: readonly string[];
  readonly startedAtMs: number;
}

export interface LoginEnd {
  /** Of the last session that had one; empty: none. */
  readonly terminal: string;
  /** Status or signal of the last program that ended; empty: there was none. */
  readonly exit: string;
  readonly why: string;
}

export interface PastLoginRecord extends LoginRecord, LoginEnd {
  /** Undefined: its daemon is gone and nobody knows. */
  readonly endedAtMs: number | undefined;
}

/** A login of another daemon that lives. `open`: as that daemon has said it. */
export interface ElsewhereLogin extends LoginRecord {
  readonly daemon: number;
  readonly open: string | undefined;
}

export interface LoginLimits {
  readonly maxAgeMs: number;
  readonly maxRows: number;
}
export const loginLimits: LoginLimits = { maxAgeMs: 90 * 24 * 3_600_000, maxRows: 20_000 };

export interface PastQuery {
  /** Undefined: of everybody. */
  readonly uid: number | undefined;
  /** Undefined: of all that `uid` allows. */
  readonly user: string | undefined;
  readonly sinceMs: number;
  readonly maxRows: number;
}

export const goneWhy = 'gone';
const maxTextCharacters = 512;
const busyTimeoutMs = 250;
/** Old rows are looked for once in so many logins. */
const forgetEvery = 64;

const migrations: readonly string[] = [
  `CREATE TABLE login (
     number INTEGER PRIMARY KEY AUTOINCREMENT,
     id TEXT NOT NULL UNIQUE,
     daemon INTEGER NOT NULL,
     daemonStart TEXT NOT NULL,
     user TEXT NOT NULL,
     uid INTEGER NOT NULL,
     address TEXT NOT NULL,
     port INTEGER NOT NULL,
     factors TEXT NOT NULL,
     startedAt INTEGER NOT NULL,
     endedAt INTEGER,
     terminal TEXT NOT NULL DEFAULT '',
     exit TEXT NOT NULL DEFAULT '',
     why TEXT,
     open TEXT
   ) STRICT;
   CREATE INDEX living ON login (daemon) WHERE why IS NULL;
   CREATE INDEX started ON login (startedAt);`,
];

type Row = Record<string, unknown>;

function recordOf(row: Row): LoginRecord {
  return {
    id: String(row['id']),
    user: String(row['user']),
    uid: Number(row['uid']),
    address: String(row['address']),
    port: Number(row['port']),
    factors: JSON.parse(String(row['factors'])) as readonly string[],
    startedAtMs: Number(row['startedAt']),
  };
}

/** A process that no later one is taken for: when it began, and in which life of the machine. */
export function processStart(pid: number): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // Behind the name, which may hold blanks and brackets; field 22 of proc_pid_stat(5).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : `${boot} ${fields[19]}`;
  } catch {
    // There is no such process.
    return undefined;
  }
}

export class LoginStore {
  readonly #database: DatabaseSync;
  readonly #limits: LoginLimits;
  readonly #daemon: number;
  readonly #daemonStart: string;
  #sinceForgotten = 0;

  /** Creates the file (0600) if there is none. */
  constructor(path: string, limits: LoginLimits = loginLimits, daemon = process.pid) {
    closeSync(openSync(path, 'a', 0o600));
    chmodSync(path, 0o600);
    this.#limits = limits;
    this.#daemon = daemon;
    this.#daemonStart = processStart(daemon) ?? '';
    this.#database = new DatabaseSync(path, { timeout: busyTimeoutMs });
    try {
      this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
      migrate(this.#database, path, migrations);
      this.findGone();
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  began(login: LoginRecord): void {
    this.#database
      .prepare(
        `INSERT INTO login (id, daemon, daemonStart, user, uid, address, port, factors, startedAt)
         VALUES (:id, :daemon, :daemonStart, :user, :uid, :address, :port, :factors, :startedAt)`,
      )
      .run({
        id: login.id,
        daemon: this.#daemon,
        daemonStart: this.#daemonStart,
        user: login.user.slice(0, maxTextCharacters),
        uid: login.uid,
        address: login.address,
        port: login.port,
        factors: JSON.stringify(login.factors.map((one) => one.slice(0, maxTextCharacters))),
        startedAt: login.startedAtMs,
      });
    if (this.#sinceForgotten++ % forgetEvery === 0) {
      this.#forget(login.startedAtMs);
    }
  }

  ended(id: string, endedAtMs: number, { terminal, exit, why }: LoginEnd): void {
    this.#database
      .prepare(
        `UPDATE login SET endedAt = ?, terminal = ?, exit = ?, why = ?, open = NULL
         WHERE id = ? AND why IS NULL`,
      )
      .run(endedAtMs, terminal, exit, why.slice(0, maxTextCharacters), id);
  }

  /** For the daemon that answers people while this one drains. */
  publish(id: string, open: string): void {
    this.#database.prepare('UPDATE login SET open = ? WHERE id = ? AND why IS NULL').run(open, id);
  }

  /** Logins whose daemon has gone without a word: nobody knows when they ended. */
  findGone(): void {
    const daemons = this.#database
      .prepare('SELECT DISTINCT daemon, daemonStart FROM login WHERE why IS NULL')
      .all();
    for (const { daemon, daemonStart } of daemons) {
      if (processStart(Number(daemon)) !== daemonStart) {
        this.#database
          .prepare(
            'UPDATE login SET why = ?, open = NULL WHERE why IS NULL AND daemon = ? AND daemonStart = ?',
          )
          .run(goneWhy, daemon as number, daemonStart as string);
      }
    }
  }

  /** Of daemons that live, not of this one; newest first. `findGone` goes before. */
  elsewhere(uid: number | undefined, maxRows: number): readonly ElsewhereLogin[] {
    const whose = uid === undefined ? '' : 'AND uid = :uid';
    return this.#database
      .prepare(
        `SELECT * FROM login WHERE why IS NULL AND daemon != :daemon ${whose}
         ORDER BY number DESC LIMIT :maxRows`,
      )
      .all({ daemon: this.#daemon, maxRows, ...(uid === undefined ? {} : { uid }) })
      .map((row) => ({
        ...recordOf(row as Row),
        daemon: Number(row['daemon']),
        open: row['open'] === null ? undefined : String(row['open']),
      }));
  }

  /** What has ended, newest login first. `findGone` goes before. */
  past({ uid, user, sinceMs, maxRows }: PastQuery): readonly PastLoginRecord[] {
    const whose = `${uid === undefined ? '' : 'AND uid = :uid'} ${user === undefined ? '' : 'AND user = :user'}`;
    return this.#database
      .prepare(
        `SELECT * FROM login WHERE why IS NOT NULL AND startedAt >= :sinceMs ${whose}
         ORDER BY startedAt DESC, number DESC LIMIT :maxRows`,
      )
      .all({
        sinceMs,
        maxRows,
        ...(uid === undefined ? {} : { uid }),
        ...(user === undefined ? {} : { user }),
      })
      .map((row) => ({
        ...recordOf(row as Row),
        terminal: String(row['terminal']),
        exit: String(row['exit']),
        why: String(row['why']),
        endedAtMs: row['endedAt'] === null ? undefined : Number(row['endedAt']),
      }));
  }

  #forget(nowMs: number): void {
    this.#database
      .prepare('DELETE FROM login WHERE why IS NOT NULL AND startedAt < ?')
      .run(nowMs - this.#limits.maxAgeMs);
    this.#database
      .prepare(
        `DELETE FROM login WHERE why IS NOT NULL AND number <=
           (SELECT number FROM login ORDER BY number DESC LIMIT 1 OFFSET ?)`,
      )
      .run(this.#limits.maxRows);
  }

  close(): void {
    this.#database.close();
  }
}
