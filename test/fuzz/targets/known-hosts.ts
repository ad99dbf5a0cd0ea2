/** known_hosts of a client: entries or nothing; a key that was not listed is never known. */
import assert from 'node:assert/strict';
import { judgeHostKey, linesAbout } from '../../../src/ssh/client/host-trust.ts';
import { parseKnownHosts } from '../../../src/ssh/client/known-hosts.ts';
import { str } from '../../support/raw-ssh.ts';
import type { FuzzTarget } from '../target.ts';

const blobOf = (fill: number) => Buffer.concat([str('ssh-ed25519'), str(Buffer.alloc(32, fill))]);
const line = (hosts: string, fill: number) =>
  `${hosts} ssh-ed25519 ${blobOf(fill).toString('base64')} comment\n`;
const name = '[host.example]:2222';
const revoked = blobOf(0xee);
const stranger = blobOf(0x55);

export const knownHosts: FuzzTarget = {
  name: 'known-hosts',
  isStream: false,
  perSecond: 6_000,
  seeds: () => [
    Buffer.from(line(name, 1) + line('host.example,10.0.0.1', 2) + line('*.example,!x', 3)),
    Buffer.from(`@revoked ${line('*', 0xee)}@cert-authority ${line('*.example', 4)}`),
    Buffer.from(line('|1|cZVqU3cPmPGRJjz3ZJpHC4zZ6ZI=|J3sYbbZ5S4Whm1RrR0zsBPfmaWk=', 5)),
    Buffer.from('# comment\n\n|1|x|y ssh-rsa AAAA\n|1|| ssh-rsa AAAA\n@nonsense * x y\n'),
  ],
  async run([input = Buffer.alloc(0)]) {
    const entries = parseKnownHosts(input.toString('utf8'), 'file');
    for (const entry of entries) {
      assert.ok(entry.blob.length > 4 && entry.line > 0);
    }
    const trust = {
      ...linesAbout(entries, [name, 'host.example']),
      lists: [],
      principal: 'host.example',
      authorityAlgorithms: ['ssh-ed25519'],
    };
    const standingOf = (blob: Buffer) => judgeHostKey(trust, blob, 0).standing.is;
    const isListed = entries.some(({ blob }) => blob.equals(stranger));
    assert.ok(isListed || standingOf(stranger) !== 'known');
    const standing = standingOf(revoked);
    const isRevoked = entries.some(
      ({ marker, blob, hosts }) => marker === 'revoked' && blob.equals(revoked) && hosts === '*',
    );
    assert.ok(!isRevoked || standing === 'revoked');
  },
};
