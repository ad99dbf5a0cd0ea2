/** A new password of the terminal's, unseen, or the first line of what is piped in. Runs in: launcher. */
import { spawnSync } from 'node:child_process';
import { readSync } from 'node:fs';

const maxBytes = 1024;
const lineFeed = 0x0a;
const standardInput = 0;

function stty(word: string): void {
  spawnSync('stty', [word], { stdio: ['inherit', 'ignore', 'ignore'], timeout: 5000 });
}

/** Without its end; undefined: longer than any password. */
function line(): Buffer | undefined {
  const bytes = Buffer.alloc(maxBytes + 1);
  let length = 0;
  while (length <= maxBytes && readSync(standardInput, bytes, length, 1, null) === 1) {
    if (bytes[length] === lineFeed) {
      return bytes.subarray(0, length);
    }
    length++;
  }
  if (length > maxBytes) {
    bytes.fill(0);
    return undefined;
  }
  return bytes.subarray(0, length);
}

/** The caller erases it. */
export function newPassword(promptText: string): Buffer | undefined {
  process.stdout.write(promptText);
  const { isTTY } = process.stdin;
  if (isTTY) {
    stty('-echo');
  }
  try {
    return line();
  } finally {
    if (isTTY) {
      stty('echo');
    }
    process.stdout.write('\n');
  }
}
