/** `--useradd`: one of those whom NXUsersDatabase lets in. Runs in: launcher. */
import { hasAccount } from './account.ts';
import { done, type NxOrder, refused } from './order.ts';

export const useradd: NxOrder = {
  name: 'useradd',
  value: 'needed',
  describe: 'list a user of this machine for NXUsersDatabase',
  run({ value: user, config, openDatabase }) {
    if (!hasAccount(user)) {
      return refused(`Error: User ${user} not existing on local system. Can't add.`);
    }
    using database = openDatabase();
    if (!database.add(user, Date.now())) {
      return done(`NX> 309 User: ${user} is in the NX user DB already.`);
    }
    const verifier = config.nxPasswordUsers.includes(user)
      ? `NX> 801 User: ${user} uses a password of the NX password DB.`
      : `NX> 801 User: ${user} uses SSHD authentication.`;
    return done(verifier, `NX> 301 User: ${user} enabled in the NX user DB.`);
  },
};
