/** Signal names on the wire (RFC 4254 §6.9, §6.10), without SIG. Runs in: worker. */

const names: ReadonlySet<string> = new Set([
  'ABRT',
  'ALRM',
  'FPE',
  'HUP',
  'ILL',
  'INT',
  'KILL',
  'PIPE',
  'QUIT',
  'SEGV',
  'TERM',
  'USR1',
  'USR2',
]);

/** Whether a client may ask for it. */
export function isSignalName(name: string): boolean {
  return names.has(name);
}

/** Other signals have no name of the RFC's; OpenSSH sends this one for them. */
export function wireSignalName(name: string): string {
  return names.has(name) ? name : 'SIG@openssh.com';
}
