/** What a peer has sent, as it may be shown again. Pure. */
import { maskSecrets } from './parameters.ts';

export const maxReplyLineCharacters = 1024;

/** Never a control character. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '?');
}

/** A line of the client must never pass for one of the server. */
export function echoOfAnswer(line: string): string {
  return /^\s*NX>/i.test(line) ? '' : printable(line).slice(0, maxReplyLineCharacters);
}

export function echoOf(line: string): string {
  const shown = echoOfAnswer(maskSecrets(line));
  return shown.charAt(0).toUpperCase() + shown.slice(1);
}
