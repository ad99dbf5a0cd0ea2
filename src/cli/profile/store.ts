/**
 * Where profiles are kept: one file each, 0600, in a folder of mode 0700 of the person's
 * configuration (XDG Base Directory Specification). Runs in: user.
 */
import { constants } from 'node:fs';
import { chmod, link, mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { ClientFailure } from '../../ssh/client/failure.ts';
import { checkName, formatProfile, isProfileName, parseProfile } from './profile.ts';
import type { Profile } from './profile.ts';

const maxFileBytes = 64 * 1024;
export const maxProfiles = 1000;

/** The home is the account's and not $HOME's, as for the keys that a profile names. */
export function profileFolder(environment: NodeJS.ProcessEnv, home = userInfo().homedir): string {
  const { XDG_CONFIG_HOME: wished = '' } = environment;
  // The specification has relative paths ignored.
  const base = isAbsolute(wished) ? wished : join(home, '.config');
  return join(base, 'sshdesk', 'profiles');
}

export class ProfileStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  pathOf(name: string): string {
    checkName(name);
    return join(this.#folder, `${name}.json`);
  }

  async names(): Promise<readonly string[]> {
    let files: readonly string[];
    try {
      files = await readdir(this.#folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw cannot(this.#folder, error);
    }
    return files
      .filter((file) => file.endsWith('.json'))
      .map((file) => file.slice(0, -'.json'.length))
      .filter(isProfileName)
      .sort()
      .slice(0, maxProfiles);
  }

  /** Throws ClientFailure; what is wrong in a file names the file. */
  async read(name: string): Promise<Profile> {
    const path = this.pathOf(name);
    await this.#checkFolder();
    let text: string;
    try {
      text = await readOwn(path);
    } catch (error) {
      if (error instanceof ClientFailure) throw error;
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw cannot(path, error);
      throw new ClientFailure('usage', `no profile ${name}; sshdesk profile list shows them`, {
        cause: error,
      });
    }
    try {
      return parseProfile(name, text);
    } catch (error) {
      if (!(error instanceof ClientFailure)) throw error;
      throw new ClientFailure('usage', `${path}: ${error.detail}`, { cause: error });
    }
  }

  /** The file appears whole or not at all; gives its path. */
  async write(profile: Profile, mayReplace: boolean): Promise<string> {
    const path = this.pathOf(profile.name);
    const temporary = join(this.#folder, `.${profile.name}.${process.pid}.part`);
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      await this.#checkFolder();
      await chmod(this.#folder, 0o700);
      const isKnown = (await this.names()).includes(profile.name);
      if (!isKnown && (await this.names()).length >= maxProfiles) {
        throw new ClientFailure('desktop', `there are ${maxProfiles} profiles; remove some`);
      }
      await rm(temporary, { force: true });
      await writeFile(temporary, formatProfile(profile), { mode: 0o600, flag: 'wx' });
      if (mayReplace) await rename(temporary, path);
      else await link(temporary, path);
      return path;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw cannot(path, error);
      throw new ClientFailure(
        'desktop',
        `there is a profile ${profile.name}; --replace takes its place`,
        { cause: error },
      );
    } finally {
      await rm(temporary, { force: true });
    }
  }

  async remove(name: string): Promise<void> {
    const path = this.pathOf(name);
    try {
      await rm(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw cannot(path, error);
      throw new ClientFailure('usage', `no profile ${name}`, { cause: error });
    }
  }

  /** What others can write into says where to connect to, and with which key. */
  async #checkFolder(): Promise<void> {
    try {
      checkOwner(this.#folder, await stat(this.#folder));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw cannot(this.#folder, error);
    }
  }
}

async function readOwn(path: string): Promise<string> {
  // A fifo would hold the start up for ever.
  await using file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  const found = await file.stat();
  if (!found.isFile()) throw new ClientFailure('usage', `${path}: not a file`);
  checkOwner(path, found);
  if (found.size > maxFileBytes) throw new ClientFailure('usage', `${path}: too large`);
  return file.readFile('utf8');
}

function checkOwner(path: string, found: { readonly uid: number; readonly mode: number }): void {
  const uid = process.getuid?.();
  if (uid === undefined) return;
  if (found.uid !== uid && found.uid !== 0) {
    throw new ClientFailure('usage', `${path}: belongs to somebody else; it is not used`);
  }
  if ((found.mode & 0o022) !== 0) {
    const mode = (found.mode & 0o777).toString(8).padStart(4, '0');
    throw new ClientFailure(
      'usage',
      `${path}: mode ${mode} lets others write it; it is not used before chmod go-w`,
    );
  }
}

function cannot(path: string, error: unknown): Error {
  if (error instanceof ClientFailure) return error;
  return new ClientFailure('desktop', `${path}: ${(error as Error).message}`, { cause: error });
}
