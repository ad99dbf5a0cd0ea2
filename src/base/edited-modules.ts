/**
 * CommonJS modules of a folder as a copy of their own, one of them compiled from an edited source:
 * for a constant that a package does not let anybody set. Runs in: worker, before it is confined.
 */
import { readFileSync } from 'node:fs';
import { createRequire, Module } from 'node:module';
import { dirname, sep } from 'node:path';
import { compileFunction } from 'node:vm';

const load = createRequire(import.meta.url);

export interface Edited {
  readonly path: string;
  edit(source: string): string;
}

/**
 * The exports of `edited` and then of `paths`, all of one folder, which see it as edited.
 * `require.cache` is shared: what others have of that folder is laid aside meanwhile, and put back;
 * they go on with the package as it is. Native code is loaded once in a process and stays.
 */
export function loadEdited(edited: Edited, paths: readonly string[]): readonly unknown[] {
  const { cache } = load;
  const folder = dirname(edited.path) + sep;
  const cached = () =>
    Object.keys(cache).filter((path) => path.startsWith(folder) && path.endsWith('.js'));
  const others = cached().map((path) => [path, cache[path]] as const);
  const forget = () => {
    for (const path of cached()) {
      delete cache[path];
    }
  };
  forget();
  try {
    return [compile(edited), ...paths.map((path) => load(path))];
  } finally {
    forget();
    for (const [path, module] of others) {
      cache[path] = module;
    }
  }
}

function compile({ path, edit }: Edited): unknown {
  const module = new Module(path);
  module.filename = path;
  const run = compileFunction(
    edit(readFileSync(path, 'utf8')),
    ['exports', 'require', 'module', '__filename', '__dirname'],
    { filename: path },
  );
  load.cache[path] = module;
  run(module.exports, createRequire(path), module, path, dirname(path));
  module.loaded = true;
  return module.exports;
}
