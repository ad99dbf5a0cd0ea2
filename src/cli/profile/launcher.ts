/**
 * A profile as an entry of the desktop's menu (Desktop Entry Specification). Its command line
 * has the profile's name and nothing else of it. Runs in: user.
 */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { ClientFailure } from '../../ssh/client/failure.ts';
import { cannotWrite } from '../connect/file-trouble.ts';
import type { Profile } from './profile.ts';

const mark = 'X-Sshdesk-Profile';
const maxFileBytes = 64 * 1024;

/** Where desktops look for the person's own (XDG Base Directory Specification). */
export function launcherPath(
  name: string,
  environment: NodeJS.ProcessEnv,
  home = userInfo().homedir,
): string {
  const { XDG_DATA_HOME: wished = '' } = environment;
  const base = isAbsolute(wished) ? wished : join(home, '.local', 'share');
  return join(base, 'applications', `sshdesk-${name}.desktop`);
}

/** `program`: the absolute path of `sshdesk`. */
export function launcherText(profile: Profile, program: string): string {
  const { name, host, options } = profile;
  const words = [program, 'connect', '--profile', name];
  const lines = [
    '[Desktop Entry]',
    'Type=Application',
    'Version=1.0',
    `Name=${stringValue(`Desktop ${name}`)}`,
    `Comment=${stringValue(`The desktop of ${host}`)}`,
    `Exec=${stringValue(words.map(quotedWord).join(' '))}`,
    'Icon=preferences-desktop-remote-desktop',
    // Host key and password are asked for in a terminal.
    `Terminal=${options.batch === true ? 'false' : 'true'}`,
    'Categories=Network;RemoteAccess;',
    `${mark}=${name}`,
  ];
  return `${lines.join('\n')}\n`;
}

/**
 * One word of Exec: in double quotes, in which four characters take a backslash; a percent sign is
 * doubled, or it would be a field code.
 */
function quotedWord(word: string): string {
  if (/[\p{Cc}]/u.test(word) || !word.isWellFormed()) {
    throw new ClientFailure('usage', `${JSON.stringify(word)}: cannot stand in a launcher`);
  }
  const escaped = word.replaceAll('%', '%%');
  return /^[\w@%+:,./-]+$/.test(escaped) ? escaped : `"${escaped.replace(/["`$\\]/g, '\\$&')}"`;
}

/** A value of type string: the general escapes come on top of those of Exec. */
function stringValue(text: string): string {
  return text
    .replaceAll('\\', '\\\\')
    .replaceAll('\n', '\\n')
    .replaceAll('\t', '\\t')
    .replaceAll('\r', '\\r')
    .replace(/^ /, '\\s');
}

/** Whole or not at all; never over a file that is not this profile's launcher. */
export async function writeLauncher(
  path: string,
  profile: Profile,
  program: string,
): Promise<void> {
  const text = launcherText(profile, program);
  if (!(await isOursOrNone(path, profile.name))) {
    throw new ClientFailure(
      'desktop',
      `${path}: is not the launcher of ${profile.name}; name another file`,
    );
  }
  const temporary = `${path}.${process.pid}.part`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    // To be started from a folder a launcher must be executable; it is nobody else's.
    await writeFile(temporary, text, { mode: 0o700, flag: 'wx' });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw cannotWrite(path, error);
  }
}

/** The one in the menu goes with its profile; true: there was one. */
export async function removeLauncher(path: string, name: string): Promise<boolean> {
  const text = await readOrNull(path);
  if (text === null || !isMarked(text, name)) return false;
  await rm(path, { force: true });
  return true;
}

async function isOursOrNone(path: string, name: string): Promise<boolean> {
  const text = await readOrNull(path);
  return text === null || isMarked(text, name);
}

function isMarked(text: string, name: string): boolean {
  return text.split('\n').includes(`${mark}=${name}`);
}

async function readOrNull(path: string): Promise<string | null> {
  try {
    return (await readFile(path)).subarray(0, maxFileBytes).toString('utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw cannotWrite(path, error);
  }
}
