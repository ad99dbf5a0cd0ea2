/** The options of `sshdesk nxserver`. Adding one is one file and one row. Pure. */
import { history } from './history.ts';
import { keygen } from './keygen.ts';
import { list } from './list.ts';
import { notHereOrders } from './not-here.ts';
import type { NxOrder } from './order.ts';
import { passwd } from './passwd.ts';
import { status } from './status.ts';
import { suspend } from './suspend.ts';
import { terminate } from './terminate.ts';
import { useradd } from './useradd.ts';
import { usercheck } from './usercheck.ts';
import { userdel } from './userdel.ts';
import { userlist } from './userlist.ts';
import { version } from './version.ts';

export const nxOrders: readonly NxOrder[] = [
  keygen,
  useradd,
  userdel,
  passwd,
  userlist,
  usercheck,
  list,
  history,
  suspend,
  terminate,
  status,
  version,
  ...notHereOrders,
];
