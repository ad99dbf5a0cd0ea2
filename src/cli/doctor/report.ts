/** Findings as a table for people. Runs in: user. */
import { printableLine } from '../connect/printable.ts';
import type { NamedFinding } from './run.ts';

export function drawFindings(findings: readonly NamedFinding[]): string {
  const width = Math.max(0, ...findings.map(({ name }) => name.length));
  const lines = findings.flatMap(({ name, state, what, remedy }) => [
    `${state.padEnd(4)}  ${name.padEnd(width)}  ${printableLine(what)}`,
    ...(remedy === undefined ? [] : [`${' '.repeat(width + 8)}→ ${printableLine(remedy)}`]),
  ]);
  return lines.map((line) => `${line}\n`).join('');
}
