/** A profile's file: what is taken is whole, holds known fields only, and is written as it was read. */
import assert from 'node:assert/strict';
import { storedOption } from '../../../src/cli/profile/options.ts';
import { launcherText } from '../../../src/cli/profile/launcher.ts';
import { formatProfile, parseProfile } from '../../../src/cli/profile/profile.ts';
import type { Profile } from '../../../src/cli/profile/profile.ts';
import { ClientFailure } from '../../../src/ssh/client/failure.ts';
import type { FuzzTarget } from '../target.ts';

const file = (value: object): Buffer => Buffer.from(JSON.stringify(value));

export const profile: FuzzTarget = {
  name: 'profile',
  isStream: false,
  perSecond: 5_000,
  seeds: () => [
    file({ version: 1, host: 'alice@desk.example:2222', options: { web: true, open: false } }),
    file({ version: 1, host: '[::1]:22', options: { i: ['~/.ssh/id'], o: ['User=a'], p: '22' } }),
    file({ version: 1, host: 'desk', options: { geometry: '1x1', pkcs11: '', l: 'bob' } }),
    file({ version: 1, host: 'desk', password: 'x', options: { setenv: 1 } }),
    Buffer.from('{"version":1,"host":"a","options":{"__proto__":"x"}}'),
  ],
  async run([input = Buffer.alloc(0)]) {
    let read: Profile;
    try {
      read = parseProfile('work', input.toString('utf8'));
    } catch (error) {
      assert.ok(error instanceof ClientFailure, String(error));
      return;
    }
    for (const name of Object.keys(read.options)) assert.ok(storedOption(name) !== undefined);
    assert.deepEqual(parseProfile('work', formatProfile(read)), read);
    // Nothing of it adds a line to a launcher, or a word to what it starts.
    const lines = launcherText(read, '/sshdesk').split('\n');
    assert.equal(lines.length, 11);
    assert.ok(lines.includes('Exec=/sshdesk connect --profile work'));
  },
};
