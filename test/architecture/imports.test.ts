/**
 * Who may import whom: the order of the folders, no cycles, and the walls that the design puts up
 * besides (the privileged half, ssh2, native code, strangers).
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';

const root = resolve(import.meta.dirname, '../..');

/** A folder imports itself and what stands before it. */
const order = [
  'src/base',
  'src/ssh/wire',
  'keys',
  'src/ssh/transport',
  'src/ssh/userauth',
  'src/ssh/connection',
  'pam',
  'src/policy',
  'src/audit',
  'src/monitor',
  'src/session',
  'src/forwarding',
  'src/broker',
  'subsystems',
  'src/web',
  'src/cluster',
  'src/ssh/client',
  'src/process',
  'src/cli',
];

/** Folders of alternatives: a row of a table each, strangers to each other. */
const alternatives = [
  'src/ssh/userauth/methods',
  'src/monitor/requests',
  'src/broker/requests',
  'src/cli/commands',
  'src/cli/doctor/checks',
  'src/ssh/client/methods',
  'subsystems/display/engines',
  'subsystems/display/commands',
  'subsystems/nx/commands',
];
/** The table of the alternatives imports all of them; what all of them are given imports none. */
const tables = new Set(['index.ts']);
const given = new Set(['context.ts']);

interface Import {
  readonly from: string;
  /** Path below the root, or the name of a package. */
  readonly to: string;
  readonly isTypeOnly: boolean;
}

const statement =
  /^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm;

function importsOf(file: string): readonly Import[] {
  const found: Import[] = [];
  for (const match of readFileSync(join(root, file), 'utf8').matchAll(statement)) {
    const name = (match[2] ?? match[3]) as string;
    const to = name.startsWith('.') ? relative(root, resolve(root, dirname(file), name)) : name;
    found.push({ from: file, to, isTypeOnly: match[1] !== undefined });
  }
  return found;
}

const modules = globSync(['src/**/*.ts', 'keys/**/*.ts', 'pam/**/*.ts', 'subsystems/**/*.ts'], {
  cwd: root,
}).sort();
const imports = modules.flatMap(importsOf);
const isOurs = (path: string) => path.endsWith('.ts');

function layerOf(file: string): number {
  return order.findIndex((folder) => file.startsWith(`${folder}/`));
}

function listed(wrong: readonly Import[]): string {
  return wrong.map(({ from, to }) => `${from} imports ${to}`).join('\n');
}

function refuse(predicate: (one: Import) => boolean): void {
  const wrong = imports.filter(predicate);
  assert.equal(wrong.length, 0, listed(wrong));
}

const isIn = (file: string, ...folders: readonly string[]) =>
  folders.some((folder) => file.startsWith(`${folder}/`));

test('the modules and their imports are really read', () => {
  assert.ok(modules.length >= 150, `${modules.length} modules`);
  assert.ok(imports.length >= 500, `${imports.length} imports`);
  assert.ok(imports.some(({ to }) => to === 'ssh2'));
  assert.ok(
    imports.some(({ from, to }) => from.startsWith('src/cli/') && to.includes('./') === false),
  );
});

test('every import of ours names a file that exists', () => {
  const known = new Set(modules);
  refuse(({ to }) => isOurs(to) && !known.has(to));
});

test('every module stands in a folder of the order', () => {
  assert.deepEqual(
    modules.filter((file) => layerOf(file) === -1),
    [],
  );
});

test('a folder imports itself and what stands before it', () => {
  refuse(({ from, to }) => isOurs(to) && layerOf(to) > layerOf(from));
});

test('there are no import cycles', () => {
  const graph = new Map(modules.map((file) => [file, [] as string[]]));
  for (const { from, to } of imports) {
    if (isOurs(to)) graph.get(from)?.push(to);
  }
  const state = new Map<string, 'open' | 'done'>();
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === 'open') {
      assert.fail([...path.slice(path.indexOf(file)), file].join(' → '));
    }
    if (state.get(file) === undefined) {
      state.set(file, 'open');
      for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
      state.set(file, 'done');
    }
  };
  for (const file of modules) visit(file, []);
});

test('only the transport and the client import ssh2', () => {
  refuse(
    ({ from, to }) => /^ssh2(\/|$)/.test(to) && !isIn(from, 'src/ssh/transport', 'src/ssh/client'),
  );
});

test('the privileged half never imports transport, connection protocol or a subsystem', () => {
  refuse(
    ({ from, to }) =>
      isIn(from, 'src/monitor', 'pam') &&
      isIn(to, 'src/ssh/transport', 'src/ssh/connection', 'subsystems'),
  );
});

test('src/ssh opens no file, socket or process', () => {
  const forbidden =
    /^node:(fs|net|tls|dgram|child_process|http|https|cluster|worker_threads)(\/|$)/;
  refuse(
    ({ from, to, isTypeOnly }) =>
      !isTypeOnly &&
      isIn(from, 'src/ssh/wire', 'src/ssh/transport', 'src/ssh/userauth', 'src/ssh/connection') &&
      forbidden.test(to),
  );
});

test('native code is reached from *.native.ts only', () => {
  refuse(({ from, to }) => to.endsWith('addon.native.ts') && !from.endsWith('.native.ts'));
  const loaders = modules.filter((file) =>
    /['"`][^'"`]*\.node['"`]/.test(readFileSync(join(root, file), 'utf8')),
  );
  assert.deepEqual(
    loaders.filter((file) => !file.endsWith('.native.ts') && !isIn(file, 'src/process')),
    [],
  );
});

test('alternatives do not import each other', () => {
  refuse(({ from, to }) =>
    alternatives.some(
      (folder) =>
        dirname(from) === folder &&
        dirname(to) === folder &&
        !tables.has(from.slice(folder.length + 1)) &&
        !given.has(to.slice(folder.length + 1)),
    ),
  );
});

test('subsystems are strangers to each other', () => {
  const nameOf = (file: string) => /^subsystems\/([^/]+)\//.exec(file)?.[1];
  refuse(
    ({ from, to }) =>
      nameOf(from) !== undefined && nameOf(to) !== undefined && nameOf(from) !== nameOf(to),
  );
});

test('no file has a name that says nothing, and nothing is exported by default', () => {
  assert.deepEqual(
    modules.filter((file) => /\/(utils?|helpers?|common|types|misc|manager)\.ts$/.test(file)),
    [],
  );
  assert.deepEqual(
    modules.filter((file) => /^export default\b/m.test(readFileSync(join(root, file), 'utf8'))),
    [],
  );
});
