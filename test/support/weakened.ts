/**
 * A copy of the program in which one check has been taken out, to see that an attack which fails
 * against the real one would succeed without it. Runs in: test.
 */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { checkout } from './lab.ts';

/** What a worker and the monitor load. */
const sources = ['package.json', 'src', 'keys', 'pam', 'subsystems', 'build/Release'];
const packages = ['ssh2', 'asn1', 'bcrypt-pbkdf', 'safer-buffer', 'tweetnacl', 'cpu-features'];

export interface Removal {
  readonly file: string;
  /** Stands exactly once in the file; else the check has moved and the test is out of date. */
  readonly check: string;
  readonly instead: string;
}

/** The copy's directory; it can be read by every user. */
export function weaken(removals: readonly Removal[]): string {
  const copy = mkdtempSync('/tmp/weakened-');
  chmodSync(copy, 0o755); // workers run as a user of their own
  for (const name of [
    ...sources,
    'test/system/hostile',
    ...packages.map((one) => `node_modules/${one}`),
  ]) {
    mkdirSync(path.dirname(path.join(copy, name)), { recursive: true });
    cpSync(path.join(checkout, name), path.join(copy, name), {
      recursive: true,
      filter: (from) => !from.includes('obj.target'),
    });
  }
  for (const { file, check, instead } of removals) {
    const target = path.join(copy, file);
    const parts = readFileSync(target, 'utf8').split(check);
    if (parts.length !== 2) {
      throw new Error(`${file}: the check stands ${parts.length - 1} times: ${check}`);
    }
    writeFileSync(target, parts.join(instead));
  }
  return copy;
}
