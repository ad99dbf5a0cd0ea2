/** Signals as RFC 4254 §6.9 and §6.10 name them, without SIG, and as this system numbers them. Pure. */
import { constants } from 'node:os';

const names: readonly string[] = [
  ...['ABRT', 'ALRM', 'FPE', 'HUP', 'ILL', 'INT', 'KILL'],
  ...['PIPE', 'QUIT', 'SEGV', 'TERM', 'USR1', 'USR2'],
];
/** What OpenSSH sends for a signal that the RFC has no name for. */
const otherSignal = 'SIG@openssh.com';

/** Whether a client may ask for it. */
export function isSignalName(name: string): boolean {
  return names.includes(name);
}

/** The name for the wire: other signals have none of the RFC's. */
export function wireSignalName(name: string): string {
  return isSignalName(name) ? name : otherSignal;
}

/** Undefined for names that are not the RFC's. */
export function signalNumber(name: string): number | undefined {
  return isSignalName(name)
    ? constants.signals[`SIG${name}` as keyof typeof constants.signals]
    : undefined;
}

export function signalName(number: number): string {
  return names.find((name) => signalNumber(name) === number) ?? otherSignal;
}
