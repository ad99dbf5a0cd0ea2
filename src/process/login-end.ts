/** The end of a login's leader, when its connection has ended. Runs in: monitor. */
import type { LeaderClient } from '../../pam/leader-client.ts';
import { leaderEndMs } from '../base/limits.ts';
import type { Connection } from '../monitor/connection.ts';
import { CallFailure } from '../ssh/wire/peer.ts';

const etimedout = 110;

/** The PAM session closes, which may take its time; a module that never returns is not waited for. */
export async function endLogin(
  { log, from }: Pick<Connection, 'log' | 'from'>,
  leader: LeaderClient,
  kill: (pid: number) => void,
): Promise<void> {
  try {
    await leader.end(0, leaderEndMs);
  } catch (error) {
    if (error instanceof CallFailure && error.code === etimedout) {
      log.error(`the leader of ${from} (pid ${leader.pid}) does not end, killed`);
      kill(leader.pid);
    }
    // Otherwise it is gone already, as it is to be.
  } finally {
    leader.drop();
  }
}
