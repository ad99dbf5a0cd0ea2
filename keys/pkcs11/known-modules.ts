/**
 * The PKCS#11 modules of this machine and person: those that p11-kit's configuration names
 * (pkcs11.conf(5)), then OpenSC's. Only paths: a module is checked where it is loaded.
 * Runs in: user (client).
 */
import { readdir, readFile, realpath } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';

/** In the place of a module's path: those that this machine knows. */
export const anyModule = 'default';

const maxFiles = 32;
const maxFileBytes = 64 * 1024;
const maxModules = 8;
/** In `enable-in` and `disable-in`. */
const programName = 'sshdesk';
/** Where a bare file name is looked for, and OpenSC's own. */
const libraryFolders = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/usr/local/lib',
];
const openscNames = ['opensc-pkcs11.so', 'pkcs11/opensc-pkcs11.so'];

type Values = ReadonlyMap<string, string>;

/** Later folders override earlier ones, value by value. */
function configFolders(home: string): string[] {
  return [
    '/usr/share/p11-kit/modules',
    '/etc/pkcs11/modules',
    join(home, '.config/pkcs11/modules'),
  ];
}

/** Files that are there, without doubles, best first. */
export async function knownModules(home: string): Promise<string[]> {
  const files = new Map<string, Map<string, string>>();
  for (const folder of configFolders(home)) await readFolder(folder, files);
  const wanted = [...files.values()]
    .filter(isForUs)
    .toSorted((one, other) => priorityOf(other) - priorityOf(one))
    .map((values) => values.get('module') ?? '');
  const opensc = libraryFolders.flatMap((folder) => openscNames.map((name) => join(folder, name)));
  const found = new Set<string>();
  for (const path of [...wanted.flatMap(candidatesOf), ...opensc]) {
    // Not there is an answer: the next candidate.
    const real = await realpath(path).catch(() => undefined);
    if (real !== undefined) found.add(real);
  }
  return [...found].slice(0, maxModules);
}

function candidatesOf(module: string): string[] {
  if (isAbsolute(module)) return [module];
  return libraryFolders.map((folder) => join(folder, 'pkcs11', module));
}

/** Modules on other machines have `remote`; those with a trust policy hold no keys. */
function isForUs(values: Values): boolean {
  if ((values.get('module') ?? '') === '' || values.get('trust-policy') === 'yes') return false;
  const enabled = values.get('enable-in');
  if (enabled !== undefined) return wordsOf(enabled).includes(programName);
  return !wordsOf(values.get('disable-in') ?? '').includes(programName);
}

function wordsOf(text: string): string[] {
  return text.split(/[\s,]+/);
}

function priorityOf(values: Values): number {
  const priority = Number(values.get('priority') ?? 0);
  return Number.isFinite(priority) ? priority : 0;
}

async function readFolder(folder: string, into: Map<string, Map<string, string>>): Promise<void> {
  // Most machines have not all of the folders.
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((one) => one.endsWith('.module')).sort()) {
    if (into.size >= maxFiles && !into.has(name)) return;
    const text = await readFile(join(folder, name), 'utf8').catch(() => '');
    if (text.length > maxFileBytes) continue;
    const values = into.get(name) ?? new Map<string, string>();
    into.set(name, values);
    for (const [, key = '', value = ''] of text.matchAll(/^\s*([\w-]+)\s*:[ \t]*(.*?)\s*$/gm)) {
      values.set(key, value);
    }
  }
}
