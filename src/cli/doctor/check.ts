/**
 * What a check of `sshdesk doctor` is given and gives. A check looks and changes nothing; what it may
 * not see it says. Runs in: user.
 */
import type { DesktopConfig, ServerConfig } from '../../policy/config.ts';
import type { Places } from '../../process/places.ts';

export type State = 'ok' | 'warn' | 'fail';

export interface Finding {
  readonly state: State;
  readonly what: string;
  readonly remedy?: string;
}

export interface Configuration {
  readonly config: ServerConfig;
  readonly desktopConfig: DesktopConfig;
  readonly notices: readonly string[];
}

export interface Surroundings {
  readonly isRoot: boolean;
  /** Null: it is not one that the daemon would take. */
  readonly configuration: Configuration | null;
  /** What is wrong with it, a line each. */
  readonly problems: readonly string[];
  readonly places: Places;
  readonly hostName: string;
  readonly environment: NodeJS.ProcessEnv;
}

export interface Check {
  readonly name: string;
  /** Where it would look at nothing that is used: left out. */
  applies?(around: Surroundings): boolean;
  look(around: Surroundings): Promise<readonly Finding[]> | readonly Finding[];
}

export const ok = (what: string): Finding => ({ state: 'ok', what });
export const warn = (what: string, remedy?: string): Finding => ({
  state: 'warn',
  what,
  ...(remedy === undefined ? {} : { remedy }),
});
export const fail = (what: string, remedy: string): Finding => ({ state: 'fail', what, remedy });

/** What a look that went wrong says of itself. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** `undefined` when `promise` has not come to an end by then. */
export async function within<T>(promise: Promise<T>, patienceMs: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), patienceMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
