/** `--passwd`: the password of one whom NXPasswordUsers names. Runs in: launcher. */
import { NxPasswords } from '../../monitor/nx-password.ts';
import { hasAccount } from './account.ts';
import { newPassword } from './new-password.ts';
import { done, type NxOrder, refused } from './order.ts';

const leastBytes = 8;

export const passwd: NxOrder = {
  name: 'passwd',
  value: 'needed',
  describe:
    'set the NX password of a user of NXPasswordUsers; it is asked for, or read from a pipe',
  async run({ value: user, config, openDatabase }) {
    if (!config.nxPasswordUsers.includes(user)) {
      return refused(
        `ERROR: ${user} logs in with the password of this system: NXPasswordUsers does not name ${user}`,
      );
    }
    if (!hasAccount(user)) {
      return refused(`Error: User ${user} not existing on local system.`);
    }
    const password = newPassword('New password: ');
    try {
      if (password === undefined || password.length < leastBytes) {
        return refused(
          `ERROR: incorrect password format, password must be long at least ${leastBytes} characters`,
        );
      }
      const hash = await new NxPasswords().hash(password);
      using database = openDatabase();
      database.setPassword(user, hash, Date.now());
      return done('Password changed.');
    } finally {
      password?.fill(0);
    }
  },
};
