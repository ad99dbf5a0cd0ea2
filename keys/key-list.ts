/**
 * A file of public keys, one a line without options (TrustedUserCAKeys, the text form of
 * RevokedKeys). As in sshd a line that is no key spoils what follows it: nobody knows what it was to
 * say. Runs in: monitor.
 */
import { isCertificate, plainKeyBlob } from './certificate.ts';
import { claimedKeyType, claimedName, parsePublicKey } from './public-key.ts';

/** The line number and what is wrong with it. */
export class KeyListError extends Error {}

/** Longer lines hold no key that we know. */
const maxLineBytes = 64 * 1024;

/** Undefined: malformed. A key of a type that we do not know, ssh-dss say, is its own blob. */
function keyBlob(text: string): Buffer | undefined {
  const found = /^(\S+)[ \t]+([A-Za-z0-9+/]+=*)(?:[ \t\r]|$)/.exec(text);
  const blob = Buffer.from(found?.[2] ?? '', 'base64');
  if (found === null || claimedName(blob) !== found[1]) {
    return undefined;
  }
  if (isCertificate(blob)) {
    return plainKeyBlob(blob);
  }
  return claimedKeyType(blob) === undefined || parsePublicKey(blob).ok ? blob : undefined;
}

/** The plain keys, those within certificates too. Throws KeyListError at the first malformed line. */
export function* keysOf(content: Buffer): Generator<Buffer> {
  let number = 0;
  for (let at = 0; at < content.length; ) {
    const newline = content.indexOf(0x0a, at);
    const end = newline < 0 ? content.length : newline;
    const line = content.subarray(at, end);
    at = end + 1;
    number++;
    const text = line.length > maxLineBytes ? '-' : line.toString('latin1').replace(/^[ \t]+/, '');
    if (text === '' || text === '\r' || text.startsWith('#')) {
      continue;
    }
    const blob = keyBlob(text);
    if (blob === undefined) {
      throw new KeyListError(`line ${number} is not a public key`);
    }
    yield blob;
  }
}

/** Whether the key stands in front of every malformed line; KeyListError when one comes first. */
export function hasKey(content: Buffer, blob: Buffer): boolean {
  for (const listed of keysOf(content)) {
    if (listed.equals(blob)) {
      return true;
    }
  }
  return false;
}
