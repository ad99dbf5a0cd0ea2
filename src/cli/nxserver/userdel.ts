/** `--userdel`: off the list, and with it the NX password. Runs in: launcher. */
import { done, type NxOrder, refused } from './order.ts';

export const userdel: NxOrder = {
  name: 'userdel',
  value: 'needed',
  describe: 'take a user and his NX password out of the database',
  run({ value: user, openDatabase }) {
    using database = openDatabase();
    return database.remove(user) ? done() : refused(`Error: User ${user} not found in database.`);
  },
};
