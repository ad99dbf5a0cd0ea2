/**
 * PAM's questions as lines of the dialogue, exactly as they were asked, and answers out of lines. What
 * is no printable ASCII goes as `%XX`, and `%` too. Pure.
 */
const carriageReturn = 0x0d;
const percent = 0x25;
/** Of a text, in one line; none of them is cut in the middle of an escape. */
const pieceCharacters = 960;

function escaped(byte: number): string {
  const isPlain = byte >= 0x20 && byte < 0x7f && byte !== percent;
  return isPlain
    ? String.fromCharCode(byte)
    : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
}

/** A text as lines with this code: to be joined, then unescaped. None for an empty text. */
export function textLines(code: number, text: Buffer): readonly string[] {
  const lines: string[] = [];
  let piece = '';
  for (const byte of text) {
    const next = escaped(byte);
    if (piece.length + next.length > pieceCharacters) {
      lines.push(`NX> ${code} ${piece}`);
      piece = '';
    }
    piece += next;
  }
  return piece === '' ? lines : [...lines, `NX> ${code} ${piece}`];
}

function digit(byte: number | undefined): number {
  return byte === undefined ? Number.NaN : Number.parseInt(String.fromCharCode(byte), 16);
}

/** Of a line that is taken as it came. */
export function withoutReturn(line: Buffer): Buffer {
  return line.at(-1) === carriageReturn ? line.subarray(0, -1) : line;
}

/**
 * In place, and what is left of the line is erased: a small buffer of its own would lie where the
 * collector leaves copies of it. What is no escape stays as it is.
 */
export function answerOf(line: Buffer): Buffer {
  const end = line.at(-1) === carriageReturn ? line.length - 1 : line.length;
  let length = 0;
  for (let at = 0; at < end; at++) {
    const high = line[at] === percent && at + 2 < end ? digit(line[at + 1]) : Number.NaN;
    const low = Number.isNaN(high) ? Number.NaN : digit(line[at + 2]);
    const isEscape = !Number.isNaN(low);
    line[length++] = isEscape ? high * 16 + low : (line[at] as number);
    at += isEscape ? 2 : 0;
  }
  line.fill(0, length);
  return line.subarray(0, length);
}
