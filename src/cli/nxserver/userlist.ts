/** `--userlist`: whom NXUsersDatabase lets in. Runs in: launcher. */
import { done, type NxOrder } from './order.ts';

export const userlist: NxOrder = {
  name: 'userlist',
  value: 'none',
  describe: 'the users that are listed',
  run({ openDatabase }) {
    using database = openDatabase();
    return done(
      'NX> 146 NX users list',
      '',
      'Username',
      '-'.repeat(15),
      '',
      ...database.users(),
      '',
    );
  },
};
