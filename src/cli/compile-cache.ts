/**
 * What was compiled at an earlier start is kept beside the native parts: a third of the time to the
 * first line. Runs in: monitor (serve), user.
 */
import { lstatSync, type Stats } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const build = fileURLToPath(new URL('../../build', import.meta.url));
const writableByOthers = 0o022;

/**
 * Whoever may write to the cache decides what runs. So it is used only where the folder is this
 * process's own, which root has not made in the checkout of a user, nor a user in one of root's.
 */
export function useCompileCache(directory = build): boolean {
  const cache = join(directory, 'compile-cache');
  const isOurs = isOwn(directory) === true && isOwn(cache) !== false;
  if (isOurs) {
    enableCompileCache(cache);
  }
  return isOurs;
}

/** Undefined: it is not there. */
function isOwn(directory: string): boolean | undefined {
  const found: Stats | undefined = lstatSync(directory, { throwIfNoEntry: false });
  return (
    found &&
    found.isDirectory() &&
    found.uid === process.geteuid?.() &&
    (found.mode & writableByOthers) === 0
  );
}
