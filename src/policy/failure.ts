/** Everything that is wrong with a configuration, at once. Runs in: monitor, launcher. */
import { ConfigError } from '../base/errors.ts';

const shownCharacters = 1000;

/** A file may hold anything, and its words go to a terminal. */
function printable(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
  return line.slice(0, shownCharacters).replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}

export class ConfigFailure extends ConfigError {
  /** `FILE:LINE: KEYWORD: what is wrong`, in the order of the configuration. */
  readonly lines: readonly string[];
  constructor(lines: readonly string[]) {
    const shown = lines.map(printable);
    super(shown.join('\n'));
    this.lines = shown;
  }
}
