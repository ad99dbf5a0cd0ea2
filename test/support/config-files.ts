/** A configuration source in memory, for tests of the reader. */
import type { ConfigSource } from '../../src/policy/config-source.ts';
import { globExpression } from '../../src/policy/config-source.ts';

/** `glob` knows wildcards in the last component. */
export function memorySource(
  files: Readonly<Record<string, string | Buffer>>,
  names: Readonly<Record<string, readonly { address: string; family: 4 | 6 }[]>> = {},
  missing: readonly string[] = [],
): ConfigSource {
  return {
    workingDirectory: '/place',
    homeDirectory: '/root',
    isExecutable: (path) => !missing.includes(path),
    readFile(path, maxBytes) {
      const content = files[path];
      if (content === undefined) {
        throw Object.assign(new Error(`${path} is not there`), { code: 'ENOENT' });
      }
      return Buffer.from(content).subarray(0, maxBytes + 1);
    },
    glob(pattern) {
      const slash = pattern.lastIndexOf('/');
      const expression = globExpression(pattern.slice(slash + 1));
      return Object.keys(files)
        .filter(
          (path) =>
            path.slice(0, path.lastIndexOf('/')) === pattern.slice(0, slash) &&
            expression?.test(path.slice(path.lastIndexOf('/') + 1)) === true,
        )
        .toSorted();
    },
    async resolve(host, family) {
      const found = (names[host] ?? []).filter((row) => family === 0 || row.family === family);
      if (found.length === 0) {
        throw new Error('Name or service not known');
      }
      return found;
    },
  };
}
