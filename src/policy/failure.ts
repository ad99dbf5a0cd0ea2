/** Everything that is wrong with a configuration, at once. Runs in: monitor, launcher. */
import { ConfigError } from '../base/errors.ts';

export class ConfigFailure extends ConfigError {
  /** `FILE:LINE: KEYWORD: what is wrong`, in the order of the configuration. */
  readonly lines: readonly string[];
  constructor(lines: readonly string[]) {
    super(lines.join('\n'));
    this.lines = lines;
  }
}
