/** What `serve -t` says besides: it would start, and nobody could use it as meant. Runs in: monitor. */
import type { Configuration } from './check.ts';
import { kerberosChecks } from './checks.ts';
import { runChecks } from './run.ts';
import { surroundingsOf } from './surroundings.ts';

/** A line each. Only root sees keytabs; without GSSAPIAuthentication nothing is looked at. */
export async function doubtsOf(configuration: Configuration): Promise<readonly string[]> {
  const around = surroundingsOf(configuration);
  if (!around.isRoot) return [];
  const findings = await runChecks(kerberosChecks, around);
  return findings
    .filter(({ state }) => state !== 'ok')
    .map(({ name, what, remedy }) => {
      const then = remedy === undefined ? '' : ` Remedy: ${remedy}.`;
      return `Warning: ${name}: ${what}.${then}`;
    });
}
