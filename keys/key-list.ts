/**
 * A file of public keys, one a line without options (TrustedUserCAKeys, the text form of
 * RevokedKeys). Runs in: monitor.
 */
import { claimedName } from './public-key.ts';

/** Longer lines hold no key that we know. */
const maxLineBytes = 64 * 1024;

/** The blobs of the lines that look like `TYPE BASE64`; everything else is passed over, as in sshd. */
export function* keysOf(content: Buffer): Generator<Buffer> {
  for (let at = 0; at < content.length; ) {
    const newline = content.indexOf(0x0a, at);
    const end = newline < 0 ? content.length : newline;
    const line = content.subarray(at, end);
    at = end + 1;
    if (line.length > maxLineBytes) {
      continue;
    }
    const found = /^[ \t]*([^ \t#]\S*)[ \t]+([A-Za-z0-9+/]+=*)(?:[ \t\r]|$)/.exec(
      line.toString('latin1'),
    );
    const blob = Buffer.from(found?.[2] ?? '', 'base64');
    if (found !== null && claimedName(blob) === found[1]) {
      yield blob;
    }
  }
}

export function hasKey(content: Buffer, blob: Buffer): boolean {
  for (const listed of keysOf(content)) {
    if (listed.equals(blob)) {
      return true;
    }
  }
  return false;
}
