/** `--keygen`: a pair for all clients of the account `nx`; the one before is kept aside. Runs in: launcher. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { generateKey, type KeySpec } from '../../../keys/keygen.ts';
import { done, type NxOrder, refused } from './order.ts';

const specs: Readonly<Record<string, KeySpec>> = {
  ed25519: { type: 'ed25519' },
  rsa: { type: 'rsa', bits: 3072 },
};

function replace(file: string, content: string | Buffer, mode: number): void {
  const fresh = `${file}.new`;
  writeFileSync(fresh, content, { mode });
  renameSync(fresh, file);
}

export const keygen: NxOrder = {
  name: 'keygen',
  value: 'optional',
  describe:
    'a new key pair of the account nx (ed25519, or rsa for older clients); the last one opens nothing any more',
  run({ value, config: { nxKeyFile } }) {
    const type = value === '' ? 'ed25519' : value.toLowerCase();
    const spec = Object.hasOwn(specs, type) ? specs[type] : undefined;
    if (spec === undefined) {
      return refused(`ERROR: no key of type ${value} (ed25519, rsa)`);
    }
    const folder = dirname(nxKeyFile);
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    const clientFile = join(folder, `client.id_${type}.key`);
    const stamp = new Date().toISOString().replace(/[-:]|\..*/g, '');
    const { privateFile, publicFile, fingerprint } = generateKey(spec, 'sshdesk nx');
    for (const file of [clientFile, nxKeyFile].filter((one) => existsSync(one))) {
      const mode = file === clientFile ? 0o600 : 0o644;
      replace(`${file}.${stamp}`, readFileSync(file), mode);
    }
    replace(clientFile, privateFile, 0o600);
    privateFile.fill(0);
    replace(nxKeyFile, publicFile, 0o644);
    return done(
      `Client key: ${clientFile}`,
      `Server key: ${nxKeyFile}`,
      `Fingerprint: ${fingerprint}`,
    );
  },
};
