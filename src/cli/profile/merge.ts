/**
 * `connect --profile NAME`: the profile's options where the command line has none. Runs in: user.
 */
import { parseTarget } from '../connect/target.ts';
import { replacedBy } from './options.ts';
import type { Profile } from './profile.ts';

/** What yargs has of a command line. */
type Given = Readonly<Record<string, unknown>> & { readonly host?: string | undefined };

/**
 * `named`: the options that the command line has, without dashes. Lists come after what is given:
 * for ssh the first value of an option wins.
 */
export function withProfile<Arguments extends Given>(
  given: Arguments,
  named: ReadonlySet<string>,
  profile: Profile,
): Arguments {
  const command = given['--'];
  const hasCommand = Array.isArray(command) && command.length > 0;
  const replaced = new Set(replacedBy(hasCommand ? new Set([...named, '--']) : named));
  if (given.host !== undefined) {
    const { user, port } = parseTarget(given.host);
    if (user !== null) replaced.add('l');
    if (port !== null) replaced.add('p');
  }
  const merged: Record<string, unknown> = { ...given, host: given.host ?? profile.host };
  for (const [name, value] of Object.entries(profile.options)) {
    const own = given[name];
    if (Array.isArray(value)) {
      merged[name] = [...(Array.isArray(own) ? (own as unknown[]) : []), ...(value as unknown[])];
    } else if (!replaced.has(name)) {
      merged[name] = value;
    }
  }
  return merged as Arguments;
}
