/**
 * What a client says, as text of the log. Bytes that are no UTF-8 stay what they were (as lone
 * surrogates, which no UTF-8 can mean); a finished line has nothing but printable ASCII, the rest as
 * vis(3) writes it: `\n` becomes `\012`, `ü` becomes `\303\274`, `\` is doubled. So a name cannot
 * forge a line, drive a terminal or turn the direction of what stands beside it.
 * Runs in: monitor, worker.
 */
const maxLineCharacters = 2048;
/** sshd cuts names in its lines at so many bytes. */
export const loggedNameBytes = 100;
const surrogateOfByte = 0xdc00;

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reversible: `bytesOf` gives the same bytes. */
export function textOfBytes(bytes: Buffer): string {
  try {
    return strict.decode(bytes);
  } catch {
    // Not UTF-8: what is, byte by byte.
    return decodeSome(bytes);
  }
}

function decodeSome(bytes: Buffer): string {
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at] as number;
    const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    try {
      text += strict.decode(bytes.subarray(at, at + length));
      at += length;
    } catch {
      text += String.fromCharCode(surrogateOfByte + first);
      at++;
    }
  }
  return text;
}

export function bytesOf(text: string): Buffer {
  if (text.isWellFormed()) {
    return Buffer.from(text);
  }
  return Buffer.concat(
    Array.from(text, (character) => {
      const code = character.codePointAt(0) as number;
      return code >= surrogateOfByte + 0x80 && code <= surrogateOfByte + 0xff
        ? Buffer.from([code - surrogateOfByte])
        : Buffer.from(character);
    }),
  );
}

/** printf's `%.Ns`. */
export function cutBytes(text: string, most: number): string {
  return text.length * 3 <= most ? text : textOfBytes(bytesOf(text).subarray(0, most));
}

/** `%.100s` of a name that a client gave. */
export function loggedName(bytes: Buffer): string {
  return textOfBytes(bytes.subarray(0, loggedNameBytes));
}

/** As long as a line may be. */
export function cutLine(text: string): string {
  return text.length > maxLineCharacters ? `${text.slice(0, maxLineCharacters)}…` : text;
}

/** C-style as vis(3). */
export function encodeControls(text: string): string {
  const cut = cutLine(text);
  if (/^[ -[\]-~]*$/.test(cut)) {
    return cut;
  }
  let encoded = '';
  for (const value of bytesOf(cut)) {
    if (value === 0x5c) {
      encoded += '\\\\';
    } else if (value >= 0x20 && value < 0x7f) {
      encoded += String.fromCharCode(value);
    } else {
      encoded += `\\${value.toString(8).padStart(3, '0')}`;
    }
  }
  return encoded;
}
