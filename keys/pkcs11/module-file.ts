/**
 * Whether the file of a PKCS#11 module may be loaded: code of it runs with the rights of the caller
 * and is given the PIN, so that nobody but root and the caller may be able to change it, or what its
 * path leads to. Runs in: card, right before it loads the module.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, realpathSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { dirname, isAbsolute } from 'node:path';
import { ConfigError } from '../../src/base/errors.ts';

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
const writableByOthers = 0o002;
const writableByGroup = 0o020;
const sticky = 0o1000;

/** The path without links. Throws ConfigError, which names the file and what helps. */
export function checkModuleFile(path: string, uid: number): string {
  if (!isAbsolute(path)) {
    throw new ConfigError(
      `${path}: not an absolute path; name the PKCS#11 module by its full path`,
    );
  }
  const resolved = onFile(path, () => realpathSync(path));
  const descriptor = onFile(path, () => openSync(resolved, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  try {
    const opened = fstatSync(descriptor);
    if (!opened.isFile()) {
      throw new ConfigError(`${resolved}: not a file, so not a PKCS#11 module`);
    }
    checkWriters(resolved, opened, uid);
    for (let folder = dirname(resolved); ; folder = dirname(folder)) {
      checkWriters(folder, lstatSync(folder), uid);
      if (folder === '/') break;
    }
    // Above the folders were found to be nobody else's: from here on the name stays with the file.
    const named = lstatSync(resolved);
    if (named.dev !== opened.dev || named.ino !== opened.ino) {
      throw new ConfigError(`${resolved}: another file came into its place while it was looked at`);
    }
    return resolved;
  } finally {
    closeSync(descriptor);
  }
}

function onFile<Value>(path: string, run: () => Value): Value {
  try {
    return run();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EACCES') {
      throw new ConfigError(`${path}: cannot be read; as its owner: chmod a+rx ${path}`);
    }
    throw new ConfigError(
      `${path}: ${code === 'ENOENT' ? 'no such file' : (error as Error).message}`,
    );
  }
}

function checkWriters(path: string, { uid: owner, gid, mode }: Stats, uid: number): void {
  if (owner !== 0 && owner !== uid) {
    throw new ConfigError(
      `${path}: belongs to uid ${owner}, who could change the PKCS#11 module; only root's and your own are loaded: as root chown root ${path}`,
    );
  }
  // In a sticky folder only the owner of a file renames or removes it, and that was looked at.
  if ((mode & sticky) !== 0 && (mode & constants.S_IFMT) === constants.S_IFDIR) return;
  if ((mode & writableByOthers) !== 0) {
    throw new ConfigError(
      `${path}: everybody can write there and so change the PKCS#11 module: chmod o-w ${path}`,
    );
  }
  if ((mode & writableByGroup) !== 0 && gid !== 0) {
    throw new ConfigError(
      `${path}: its group can write there and so change the PKCS#11 module: chmod g-w ${path}`,
    );
  }
}
