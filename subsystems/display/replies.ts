/** Blocks of lines that several commands answer with. Pure. */
import type { CommandContext, Reply } from './command.ts';
import type { Desktop, DesktopRefusal } from './desktops.ts';

const lastOperationFailed = 'NX> 500 ERROR: Last operation failed.';

/** 596 followed by 500: what every client stops on. */
export function sessionError(text: string): readonly string[] {
  return [`NX> 596 ${text}`, lastOperationFailed];
}

/** Log lines are indented, so that none can pass for a line of the server. */
function startupFailed({ text, logTail }: DesktopRefusal): readonly string[] {
  return [
    `NX> 1004 Error: ${text}`,
    ...logTail.map((line) => `  ${line}`),
    ...sessionError('Session startup failed.'),
  ];
}

/** `which` is the id or name that was asked for. */
export function failureLines(
  refusal: DesktopRefusal,
  user: string,
  which: string,
): readonly string[] {
  switch (refusal.failure) {
    case 'engine':
      return startupFailed(refusal);
    case 'notFound':
      return sessionError(`Error: Session ${which} not found.`);
    case 'userLimit':
      return [`NX> 599 Server capacity: reached for user: ${user}`, lastOperationFailed];
    case 'totalLimit':
      return [
        'NX> 599 Reached the maximum number of concurrent sessions on this server.',
        lastOperationFailed,
      ];
    default:
      return sessionError(`Error: ${refusal.text}`);
  }
}

/** Attaches first: `NX> 710` may only be said when the desktop takes a viewer. */
export async function openSession(
  context: CommandContext,
  desktop: Desktop,
  status: 'starting' | 'resuming',
): Promise<Reply> {
  const { desktops, hostName } = context;
  const attached = await desktops.attach(desktop.id);
  if (attached.is === 'failed') {
    return { lines: failureLines(attached, desktops.user, desktop.id), then: 'prompt' };
  }
  context.setSession(desktop, attached.value);
  const place = `${hostName}:${desktop.display}`;
  return {
    lines: [
      `NX> 700 Session id: ${hostName}-${desktop.display}-${desktop.id}`,
      `NX> 705 Session display: ${desktop.display}`,
      `NX> 703 Session type: ${desktop.type}`,
      `NX> 728 Session caption: NX - ${desktop.owner}@${place} - ${desktop.name}`,
      `NX> 1009 Session status: ${status}`,
      'NX> 710 Session status: running',
    ],
    then: 'prompt',
  };
}
