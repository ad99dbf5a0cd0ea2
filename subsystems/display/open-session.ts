/** A viewer of a desktop behind the dialogue, where `bye` leads to. Pure. */
import type { CommandContext, Reply } from './command.ts';
import type { AttachOrder, Desktop } from './desktops.ts';
import { reauthenticate } from './reauthenticate.ts';
import { failureLines } from './replies.ts';

/** Both names of one cookie: clients take either for the proxy's (NX 1.5 and later). */
function cookieLines(cookie: string, type: string): readonly string[] {
  return cookie === ''
    ? []
    : [
        `NX> 701 Proxy cookie: ${cookie}`,
        'NX> 702 Proxy IP: 127.0.0.1',
        `NX> 706 Agent cookie: ${cookie}`,
        `NX> 704 Session cache: ${type}`,
      ];
}

/** Attaches first: `NX> 710` may only be said when the desktop takes a viewer. */
export async function openSession(
  context: CommandContext,
  desktop: Desktop,
  status: 'starting' | 'resuming',
  as: AttachOrder,
): Promise<Reply> {
  const { desktops, hostName } = context;
  let told: readonly string[] = [];
  let attached = await desktops.attach(desktop.id, as);
  if (attached.is === 'failed' && attached.failure === 'reauthentication') {
    const { isAccepted, lines } = await reauthenticate(context, desktop);
    if (!isAccepted) {
      return { lines, then: 'prompt' };
    }
    told = lines;
    attached = await desktops.attach(desktop.id, as);
  }
  if (attached.is === 'failed') {
    return { lines: failureLines(attached, desktops.user, desktop.id), then: 'prompt' };
  }
  context.setSession(desktop, attached.value);
  const place = `${hostName}:${desktop.display}`;
  return {
    lines: [
      ...told,
      `NX> 700 Session id: ${hostName}-${desktop.display}-${desktop.id}`,
      `NX> 705 Session display: ${desktop.display}`,
      `NX> 703 Session type: ${desktop.type}`,
      ...cookieLines(attached.value.cookie, desktop.type),
      `NX> 728 Session caption: NX - ${desktop.owner}@${place} - ${desktop.name}`,
      ...(attached.value.cookie === '' ? [] : ['NX> 707 SSL tunneling: 1']),
      `NX> 1009 Session status: ${status}`,
      'NX> 710 Session status: running',
    ],
    then: 'prompt',
  };
}
