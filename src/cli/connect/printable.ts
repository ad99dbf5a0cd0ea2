/**
 * Texts of a server on a terminal: without escape sequences, direction marks or floods.
 * Runs in: user.
 */

const maxTextChars = 16 * 1024;

/**
 * One text, newlines and tabs kept. C0, DEL, C1 and the marks that reorder a line become `\xNN` or
 * `\uNNNN`, so that nothing moves the cursor or poses as another line.
 */
export function printable(text: string): string {
  const bounded = text.length > maxTextChars ? `${text.slice(0, maxTextChars)}…` : text;
  return bounded.replace(/\r\n/g, '\n').replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (char) => escapeOf(char.charCodeAt(0)),
  );
}

/** The same on one line. */
export function printableLine(text: string): string {
  return printable(text)
    .replace(/[\n\t]/g, ' ')
    .trim();
}

function escapeOf(code: number): string {
  return code < 256
    ? `\\x${code.toString(16).padStart(2, '0')}`
    : `\\u${code.toString(16).padStart(4, '0')}`;
}
