/** The parts that were compiled on this machine, and for this Node. Runs in: user. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { installDirectory, leaderExecutable } from '../../../process/places.ts';
import { type Check, fail, type Finding, ok, reasonOf } from '../check.ts';

const load = createRequire(import.meta.url);
const remedy = 'run ./setup';
/** Loaded by name; what is not needed to serve is told all the same. */
const modules: readonly (readonly [what: string, path: string])[] = [
  ['addon', join(installDirectory, 'build/Release/sshdesk_addon.node')],
  ['ciphers (ssh2)', 'ssh2/lib/protocol/crypto/build/Release/sshcrypto.node'],
  ['Kerberos checks (kerberos)', 'kerberos'],
  ['cards (pkcs11js)', 'pkcs11js'],
];

function tried(what: string, path: string): Finding {
  try {
    load(path);
    return ok(`${what} loads`);
  } catch (error) {
    const [why] = reasonOf(error).split('\n');
    return fail(`${what} does not load: ${why}`, remedy);
  }
}

async function leader(): Promise<Finding> {
  try {
    await access(leaderExecutable, constants.X_OK);
    return ok('leader is there');
  } catch {
    return fail(`${leaderExecutable} is missing or may not be run`, remedy);
  }
}

export const nativeParts: Check = {
  name: 'native parts',
  async look() {
    const found = [...modules.map(([what, path]) => tried(what, path)), await leader()];
    const bad = found.filter(({ state }) => state !== 'ok');
    return bad.length > 0 ? bad : [ok('addon, leader, ciphers, Kerberos and card modules load')];
  },
};
