/** `--usercheck`: what stands between a user and a login behind `nx`. Runs in: launcher. */
import { hasAccount } from './account.ts';
import { done, type NxOrder, refused } from './order.ts';

export const usercheck: NxOrder = {
  name: 'usercheck',
  value: 'needed',
  describe: 'whether a user is there, listed, and has a password where he needs one',
  run({ value: user, config, openDatabase }) {
    if (!config.nxLegacyAccount) {
      return refused('ERROR: the account nx is off (NXLegacyAccount in sshdesk_config)');
    }
    if (!hasAccount(user)) {
      return refused(`Error: User ${user} not existing on local system.`);
    }
    using database = openDatabase();
    if (config.nxUsersDatabase && !database.isListed(user)) {
      return refused(`Error: User ${user} not found in database.`);
    }
    const isByDatabase = config.nxPasswordUsers.includes(user);
    if (isByDatabase && database.passwordOf(user) === undefined) {
      return refused(`Error: User ${user} has no NX password (--passwd).`);
    }
    return done(
      `NX> 801 User: ${user} uses ${isByDatabase ? 'a password of the NX password DB' : 'SSHD authentication'}.`,
      `NX> 900 User: ${user} may log in as far as NX is concerned; sshd_config and PAM decide the rest.`,
    );
  },
};
