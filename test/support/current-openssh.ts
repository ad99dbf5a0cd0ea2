/**
 * The OpenSSH client that `./setup --test` unpacked beside the installed one, run by the C library
 * that came with it. Runs in: test.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { checkout } from './lab.ts';

const folder = path.join(checkout, 'node_modules/.sshdesk-openssh');
const triplet = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
const loader = path.join(
  folder,
  'usr/lib',
  triplet,
  process.arch === 'arm64' ? 'ld-linux-aarch64.so.1' : 'ld-linux-x86-64.so.2',
);

/** ssh-audit of the same suite: command, arguments, environment; undefined: it was not fetched. */
export const currentSshAudit: readonly [string, readonly string[], NodeJS.ProcessEnv] | undefined =
  existsSync(path.join(folder, 'usr/bin/ssh-audit'))
    ? [
        '/usr/bin/python3',
        [path.join(folder, 'usr/bin/ssh-audit')],
        { PATH: '/usr/bin:/bin', PYTHONPATH: path.join(folder, 'usr/lib/python3/dist-packages') },
      ]
    : undefined;

/** Why it cannot be run here; false: it can. */
export const currentOpensshIsMissing: string | false = existsSync(path.join(folder, 'usr/bin/ssh'))
  ? false
  : 'a newer OpenSSH was not fetched (./setup --test says why)';

/** The command line of `ssh`, `ssh-keyscan` and the like in that version. */
export function currentOpenssh(program: string, args: readonly string[]): readonly string[] {
  const libraries = path.join(folder, 'usr/lib', triplet);
  return [loader, '--library-path', libraries, path.join(folder, 'usr/bin', program), ...args];
}
