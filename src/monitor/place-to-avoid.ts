/**
 * Where the Unix sockets are that a login may not get to by forwarding: those of desktops, for who may
 * open none. Pure. Runs in: monitor.
 */
import type { Login } from './connection.ts';
import { mayOpenDesktop } from './session-plan.ts';

/**
 * For the leader's `notBelow`; empty: nowhere. In a ChrootDirectory paths are those inside: unless the
 * place itself lies there, there is nothing to avoid.
 */
export function placeToAvoid(login: Login, runtimeDirectory: string): string {
  if (mayOpenDesktop(login).allowed) {
    return '';
  }
  const { chrootDirectory: root } = login.grant;
  if (root === undefined) {
    return runtimeDirectory;
  }
  // The leader finds a path from outside in `/` only, and refuses everything in any other such root.
  const isInside = `${runtimeDirectory}/`.startsWith(root.replace(/\/*$/, '/'));
  return isInside ? runtimeDirectory : '';
}
