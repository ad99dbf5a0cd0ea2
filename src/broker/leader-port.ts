/**
 * What the broker needs of leaders: one of its own for each desktop, never one forked from a
 * login's. `LeaderClient` has exactly these members. Runs in: monitor.
 */
import type { LeaderClient } from '../../pam/leader-client.ts';

export type DesktopLeader = Pick<
  LeaderClient,
  | 'pid'
  | 'begin'
  | 'account'
  | 'establish'
  | 'desktopBegin'
  | 'desktopDescribe'
  | 'desktopNote'
  | 'writeFiles'
  | 'signalProcess'
  | 'spawn'
  | 'connectUnix'
  | 'takeTickets'
  | 'agentWatch'
  | 'agentTake'
  | 'agentDone'
  | 'onAgentWanted'
  | 'watchWindows'
  | 'displaySize'
  | 'logTail'
  | 'end'
  | 'drop'
  | 'onExited'
  | 'onDesktopEnded'
  | 'onGone'
>;

export interface LeaderPort {
  /** A fresh leader; nothing has been ordered yet. */
  startDesktopLeader(owner: string): Promise<DesktopLeader>;
  /**
   * The leader behind `directory/control`; fails when nobody answers there or the peer is not
   * uid 0 (rootless: the own uid).
   */
  reconnect(directory: string): Promise<DesktopLeader>;
}
