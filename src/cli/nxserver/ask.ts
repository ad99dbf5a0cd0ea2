/** Desktops, asked of the machine's daemon. Runs in: launcher. */
import type { ControlAction, ListedDesktop } from '../../broker/control.ts';
import { askDaemon, NoDaemon } from '../sessions/control-client.ts';
import { machineSocket } from '../sessions/control-path.ts';

/** Text: why not. */
export async function askDesktops(
  action: ControlAction,
  which?: string,
): Promise<readonly ListedDesktop[] | string> {
  try {
    const request = which === undefined ? { action } : { action, which };
    const { reply } = await askDaemon([machineSocket], request);
    if (reply.is === 'done') {
      return reply.desktops;
    }
    return reply.is === 'failed' ? reply.text : 'the daemon answers something else';
  } catch (error) {
    if (error instanceof NoDaemon) {
      return error.message;
    }
    throw error;
  }
}

/** Of a user, by `:DISPLAY` or id; `*`: all. */
export function chosen(
  desktops: readonly ListedDesktop[],
  which: string,
): readonly ListedDesktop[] {
  const wanted = which.toUpperCase();
  return desktops.filter(
    ({ id, owner, display }) =>
      which === '*' || owner === which || which === `:${display}` || id.toUpperCase() === wanted,
  );
}

export function addressOf({ viewedFrom }: ListedDesktop): string {
  return viewedFrom[0] ?? '-';
}
