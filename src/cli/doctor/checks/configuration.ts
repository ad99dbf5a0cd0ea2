/** The configuration files, read as the daemon reads them. Runs in: user. */
import { type Check, fail, ok, warn } from '../check.ts';

/** More than these are seen by `serve -t`. */
const shown = 20;

export const configuration: Check = {
  name: 'configuration',
  look({ configuration: loaded, problems }) {
    if (loaded === null) {
      return problems
        .slice(0, shown)
        .map((line) => fail(line, 'mend the line; sshdesk explain shows every line and its place'));
    }
    const { notices } = loaded;
    return [
      ok('sshd_config and sshdesk_config are taken'),
      ...notices.slice(0, shown).map((line) => warn(line)),
    ];
  },
};
