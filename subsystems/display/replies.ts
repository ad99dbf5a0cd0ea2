/** Blocks of lines that several commands answer with. Pure. */
import type { DesktopRefusal } from './desktops.ts';

export const lastOperationFailed = 'NX> 500 ERROR: Last operation failed.';

/** 596 followed by 500: what every client stops on. */
export function sessionError(text: string): readonly string[] {
  return [`NX> 596 ${text}`, lastOperationFailed];
}

/** A viewer that would come by a connection of its own, past the channel. */
export const unencryptedRefused = sessionError(
  'Unencrypted sessions are not allowed on this server.',
);

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
