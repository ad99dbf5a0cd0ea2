/**
 * The line of the log for a key or principals file that the leader would not read, in sshd's words.
 * Pure. Runs in: monitor.
 */

export function refusedFileLine(
  user: string,
  what: 'authorized keys' | 'authorized principals' | 'card certificates',
  reason: string,
): string {
  const irregular = /^(.*) is not a regular file$/s.exec(reason);
  return irregular === null
    ? `Authentication refused: ${reason}`
    : `User '${user}' ${what} '${irregular[1]}' is not a regular file`;
}
