/**
 * The process in which `sshdesk keys add` writes: it is the user's from its first instruction on, so
 * that nothing in a home can make root do anything. One request on stdin, one answer on stdout, both
 * JSON. Runs in: user.
 */
import { readFileSync } from 'node:fs';
import { type AddedKey, withKeys } from '../../../keys/authorized-keys-addition.ts';
import { ConfigError } from '../../base/errors.ts';
import { changeAuthorizedKeys } from './home-file.ts';

export interface AddRequest {
  readonly uid: number;
  readonly home: string;
  readonly keys: readonly {
    readonly blob: string;
    readonly options: string;
    readonly comment: string;
  }[];
}

export type AddAnswer =
  | { readonly ok: true; readonly file: string; readonly keys: readonly AddedKey[] }
  | { readonly ok: false; readonly reason: string };

async function answer(): Promise<AddAnswer> {
  const { uid, home, keys } = JSON.parse(readFileSync(0, 'utf8')) as AddRequest;
  if (process.getuid?.() !== uid || process.geteuid?.() !== uid) {
    throw new Error(`runs as uid ${process.getuid?.()} in place of ${uid}`);
  }
  process.umask(0o077);
  const additions = keys.map(({ blob, ...rest }) => ({
    blob: Buffer.from(blob, 'base64'),
    ...rest,
  }));
  try {
    const { file, value } = await changeAuthorizedKeys(home, (content) => {
      const changed = withKeys(content, additions);
      return { content: changed.content, value: changed.keys };
    });
    return { ok: true, file, keys: value };
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    if (error instanceof ConfigError) return { ok: false, reason: error.detail };
    // What the file system says: no room, no permission, read-only.
    if (typeof code === 'string' && path !== undefined) {
      return { ok: false, reason: `${path}: ${code}` };
    }
    throw error;
  }
}

process.stdout.write(JSON.stringify(await answer()));
