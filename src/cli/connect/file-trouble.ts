/** Why a file cannot be written, in words and with what to do. Runs in: user. */
import { access, constants, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ClientFailure } from '../../ssh/client/failure.ts';

const sentences: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such folder; make it first, or name a file elsewhere',
  ENOTDIR: 'a part of the path is no folder; name a file elsewhere',
  EACCES: 'you may not write there; name a file elsewhere',
  EPERM: 'you may not write there; name a file elsewhere',
  EROFS: 'nothing can be written there; name a file elsewhere',
  EISDIR: 'is a folder; name a file in it',
  ENOSPC: 'there is no room left; free some, or name a file elsewhere',
  EDQUOT: 'your quota is used up; free some, or name a file elsewhere',
};

export function cannotWrite(path: string, error: unknown): ClientFailure {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return new ClientFailure('desktop', `${path}: ${sentences[code] ?? message}`, { cause: error });
}

/** Seen before anybody logs in: nobody should answer questions for a file that cannot be written. */
export async function mayWrite(path: string): Promise<void> {
  const folder = dirname(path);
  try {
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw cannotWrite(path, error);
  }
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false, // not there yet
  );
  if (isFolder) throw cannotWrite(path, { code: 'EISDIR', message: '' });
}
