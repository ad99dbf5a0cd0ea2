/** Signal names of RFC 4254 §6.9/§6.10 and this system's numbers. Pure. */
import { constants } from 'node:os';

const names = [
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
] as const;
type SystemSignal = keyof typeof constants.signals;

export function signalNumber(name: string): number | undefined {
  return (names as readonly string[]).includes(name)
    ? constants.signals[`SIG${name}` as SystemSignal]
    : undefined;
}

/** Outside the RFC's list sshd sends `SIG@openssh.com`; so do we. */
export function signalName(number: number): string {
  return (
    names.find((name) => constants.signals[`SIG${name}` as SystemSignal] === number) ??
    'SIG@openssh.com'
  );
}
