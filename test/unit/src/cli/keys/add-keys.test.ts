/** What `sshdesk keys add` says of a file that is somebody else's. Runs in: test. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describe as told } from '../../../../../src/cli/keys/add-keys.ts';
import { parsePublicKey } from '../../../../../keys/public-key.ts';
import { readPublicLine } from '../../../../../keys/public-line.ts';

const line =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl comment';

test('options and paths that a user has chosen do not drive the terminal of root', () => {
  const blob = readPublicLine(Buffer.from(line));
  assert.ok(blob !== undefined && parsePublicKey(blob).ok);
  const text = told({
    file: '/home/alice/\u001b[2Jkeys',
    lines: [
      {
        state: 'different',
        line: 1,
        options: 'environment="A=\u001b]0;root\u0007\u009b31m\u202e"',
        key: { blob, comment: '' },
      },
    ],
  });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  assert.match(text, /environment="A=\\x1b\]0;root\\x07\\x9b31m\\u202e"/);
});
