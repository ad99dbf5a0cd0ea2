/** The account that workers run as. Runs in: user. */
import { ConfigError } from '../../../base/errors.ts';
import { workerAccount as account } from '../../serve/account.ts';
import { type Check, fail, ok } from '../check.ts';

export const workerAccount: Check = {
  name: 'worker account',
  // Without root the workers run as who has started them.
  applies: ({ isRoot }) => isRoot,
  look() {
    try {
      const { uid, gid } = account();
      return [ok(`sshdesk is uid ${uid}, gid ${gid}`)];
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return [fail(error.detail, 'run ./setup as root')];
    }
  },
};
