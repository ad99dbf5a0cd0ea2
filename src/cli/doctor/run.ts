/** Runs checks side by side, and keeps the order of the table. Runs in: user. */
import { type Check, type Finding, reasonOf, type Surroundings } from './check.ts';

export interface NamedFinding extends Finding {
  readonly name: string;
}

export async function runChecks(
  checks: readonly Check[],
  around: Surroundings,
): Promise<readonly NamedFinding[]> {
  const found = await Promise.all(
    checks
      .filter((check) => check.applies?.(around) !== false)
      .map(async (check) =>
        (await findings(check, around)).map((one) => ({ name: check.name, ...one })),
      ),
  );
  return found.flat();
}

/** A check that breaks has found out nothing, and says so. */
async function findings(check: Check, around: Surroundings): Promise<readonly Finding[]> {
  try {
    return await check.look(around);
  } catch (error) {
    return [{ state: 'warn', what: `could not be looked at: ${reasonOf(error)}` }];
  }
}
