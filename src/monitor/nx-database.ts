/**
 * Who may log in behind the account `nx`, and by which passwords that are not the system's: two
 * tables, which know nothing of each other. A file of its own in SQLite, root's alone; `sshdesk
 * nxserver` writes it while the monitor reads it. Runs in: monitor, launcher.
 */
import { chmodSync, closeSync, existsSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { ConfigError } from '../base/errors.ts';
import { migrate } from '../base/migrations.ts';

const busyTimeoutMs = 1_000;
const mostUsers = 100_000;

const migrations: readonly string[] = [
  `CREATE TABLE user (name TEXT PRIMARY KEY, addedAt INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE password (
     name TEXT PRIMARY KEY, hash TEXT NOT NULL, changedAt INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;`,
];

export class NxDatabase implements Disposable {
  readonly #database: DatabaseSync;

  /** Creates the file (0600) if there is none. */
  constructor(path: string) {
    closeSync(openSync(path, 'a', 0o600));
    chmodSync(path, 0o600);
    this.#database = new DatabaseSync(path, { timeout: busyTimeoutMs });
    try {
      migrate(this.#database, path, migrations);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** undefined: nobody was ever listed, nor has a password. */
  static ifThere(path: string): NxDatabase | undefined {
    return existsSync(path) ? new NxDatabase(path) : undefined;
  }

  /** False: was listed. */
  add(name: string, nowMs: number): boolean {
    const count = Number(this.#database.prepare('SELECT count(*) AS n FROM user').get()?.['n']);
    if (count >= mostUsers) {
      throw new ConfigError(`more than ${mostUsers} users`);
    }
    const { changes } = this.#database
      .prepare('INSERT OR IGNORE INTO user (name, addedAt) VALUES (?, ?)')
      .run(name, nowMs);
    return changes > 0;
  }

  /** The password goes with it. False: neither was there. */
  remove(name: string): boolean {
    const listed = this.#database.prepare('DELETE FROM user WHERE name = ?').run(name);
    const secret = this.#database.prepare('DELETE FROM password WHERE name = ?').run(name);
    return Number(listed.changes) + Number(secret.changes) > 0;
  }

  isListed(name: string): boolean {
    return this.#database.prepare('SELECT 1 FROM user WHERE name = ?').get(name) !== undefined;
  }

  users(): readonly string[] {
    return this.#database
      .prepare('SELECT name FROM user ORDER BY name')
      .all()
      .map((row) => String(row['name']));
  }

  passwordOf(name: string): string | undefined {
    const row = this.#database.prepare('SELECT hash FROM password WHERE name = ?').get(name);
    return row === undefined ? undefined : String(row['hash']);
  }

  setPassword(name: string, hash: string, nowMs: number): void {
    this.#database
      .prepare(
        'INSERT INTO password (name, hash, changedAt) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, changedAt = excluded.changedAt',
      )
      .run(name, hash, nowMs);
  }

  /** At another cost, unless it was changed meanwhile. */
  renewPassword(name: string, before: string, hash: string): void {
    this.#database
      .prepare('UPDATE password SET hash = ? WHERE name = ? AND hash = ?')
      .run(hash, name, before);
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
