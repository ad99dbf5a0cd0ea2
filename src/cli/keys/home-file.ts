/**
 * `~/.ssh/authorized_keys`, changed as its owner and never otherwise: folders that others can write to
 * are refused, links out of the home too; written beside it and put in its place whole, under a
 * lock. Runs in: user (a process of its own when root asked).
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { ConfigError } from '../../base/errors.ts';
import { lockExclusive } from '../../base/socket.native.ts';

/** sshdesk reads no more of one. */
const maxFileBytes = 1024 * 1024;
const lockMs = 10_000;
const lockPollMs = 50;
/** An editor that saves just then wins, and its file is read anew. */
const maxTries = 5;
const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

export interface Change<Value> {
  /** undefined: it stays as it is. */
  readonly content: Buffer | undefined;
  readonly value: Value;
}

/** As StrictModes. */
function checkWriters(place: string, { uid, mode }: Stats, ownUid: number): void {
  if (uid !== ownUid && uid !== 0) {
    throw new ConfigError(
      `${place}: belongs to uid ${uid}, so that sshd would not read keys there`,
    );
  }
  if ((mode & 0o022) !== 0) {
    throw new ConfigError(
      `${place}: others can write there, so that sshd would not read keys there: chmod go-w ${place}`,
    );
  }
}

function isWithin(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(outer === '/' ? outer : `${outer}/`);
}

/** Every folder from `folder` up to the home. */
function checkFolders(folder: string, home: string, ownUid: number): void {
  for (let at = folder; ; at = path.dirname(at)) {
    checkWriters(at, lstatSync(at), ownUid);
    if (at === home || at === '/') return;
  }
}

function realHome(home: string): string {
  try {
    return realpathSync(home);
  } catch {
    throw new ConfigError(`${home}: the home directory is not there`);
  }
}

/** The real folder; it is made if there is none. */
function sshFolder(home: string, ownUid: number): string {
  const named = path.join(home, '.ssh');
  if (lstatSync(named, { throwIfNoEntry: false }) === undefined) {
    checkFolders(home, home, ownUid);
    mkdirSync(named, { mode: 0o700 });
  }
  let real: string;
  try {
    real = realpathSync(named);
  } catch {
    throw new ConfigError(`${named}: a link to nothing`);
  }
  if (!isWithin(real, home) || !statSync(real).isDirectory()) {
    throw new ConfigError(`${named}: leads to ${real}, which is no folder of ${home}`);
  }
  checkFolders(real, home, ownUid);
  return real;
}

/** Where the file really is: a link within the home is followed, as sshd does. */
function realFile(folder: string, home: string, ownUid: number): string {
  const named = path.join(folder, 'authorized_keys');
  const status = lstatSync(named, { throwIfNoEntry: false });
  if (status === undefined || !status.isSymbolicLink()) return named;
  let real: string;
  try {
    real = realpathSync(named);
  } catch {
    throw new ConfigError(`${named}: a link to nothing`);
  }
  if (!isWithin(real, home)) {
    throw new ConfigError(`${named}: leads to ${real}, out of ${home}`);
  }
  checkFolders(path.dirname(real), home, ownUid);
  return real;
}

interface Read {
  readonly content: Buffer;
  readonly mode: number;
  readonly identity: string;
}

const none: Read = { content: Buffer.alloc(0), mode: 0o600, identity: 'none' };

function identityOf({ dev, ino, size, mtimeMs, ctimeMs }: Stats): string {
  return `${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`;
}

function readFile(file: string, ownUid: number): Read {
  let descriptor: number;
  try {
    descriptor = openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return none;
    throw new ConfigError(`${file}: cannot be read (${code})`);
  }
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile() || status.size > maxFileBytes) {
      throw new ConfigError(`${file}: not a file of at most ${maxFileBytes} bytes`);
    }
    if (status.uid !== ownUid) {
      throw new ConfigError(`${file}: belongs to uid ${status.uid}, and would not any more`);
    }
    checkWriters(file, status, ownUid);
    const mode = status.mode & 0o7777;
    return { content: readFileSync(descriptor), mode, identity: identityOf(status) };
  } finally {
    closeSync(descriptor);
  }
}

/** Beside the file, whole and on the disk. */
function writeBeside(file: string, content: Buffer, mode: number): string {
  const fresh = `${file}.${randomBytes(8).toString('hex')}`;
  const descriptor = openSync(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    for (let at = 0; at < content.length; ) at += writeSync(descriptor, content, at);
    fchmodSync(descriptor, mode);
    fsyncSync(descriptor);
    return fresh;
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

async function lock(folder: number, name: string): Promise<void> {
  const until = performance.now() + lockMs;
  while (!lockExclusive(folder)) {
    if (performance.now() > until) {
      throw new ConfigError(`${name}: another program has been changing keys there for too long`);
    }
    await new Promise((resolve) => setTimeout(resolve, lockPollMs));
  }
}

/** The file as it is now is given to `change`. Rejects with ConfigError: nothing was changed. */
export async function changeAuthorizedKeys<Value>(
  userHome: string,
  change: (content: Buffer) => Change<Value>,
): Promise<{ readonly file: string; readonly value: Value }> {
  const ownUid = process.geteuid?.() ?? 0;
  const home = realHome(userHome);
  const folder = sshFolder(home, ownUid);
  const descriptor = openSync(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    await lock(descriptor, folder);
    const file = realFile(folder, home, ownUid);
    for (let tries = 0; tries < maxTries; tries++) {
      const { content, mode, identity } = readFile(file, ownUid);
      const { content: next, value } = change(content);
      if (next === undefined) return { file, value };
      if (next.length > maxFileBytes) {
        throw new ConfigError(`${file}: would be larger than ${maxFileBytes} bytes`);
      }
      const fresh = writeBeside(file, next, mode);
      if (readFile(file, ownUid).identity === identity) {
        renameSync(fresh, file);
        fsyncSync(descriptor);
        return { file, value };
      }
      rmSync(fresh, { force: true });
    }
    throw new ConfigError(`${file}: is being changed by another program again and again`);
  } finally {
    closeSync(descriptor);
  }
}
