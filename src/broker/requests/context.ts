/** What a desktop request needs besides the connection that asks. Runs in: monitor. */
import type { Connection } from '../../monitor/connection.ts';
import type { Broker } from '../broker.ts';

export type MayOpen =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly text: string };

export interface DesktopRequestContext {
  readonly broker: Broker;
  /**
   * Opening a desktop counts as running a command: a forced command other than the desktop
   * subsystems, ChrootDirectory, no-pty, PermitTTY no, an expired password refuse it. `session` is
   * one that was started as `rfb` or `display`; 0 with an open direct-tcpip channel to the reserved
   * name. A session that is neither is a MonitorRefusal, to be thrown.
   */
  mayOpenDesktop(connection: Connection, session: number): MayOpen;
}
