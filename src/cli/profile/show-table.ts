/** Profiles as tables for a person. Runs in: user. */
import { drawColumns } from '../logins/table.ts';
import { storedOptions } from './options.ts';
import type { OptionValue } from './options.ts';
import type { Profile } from './profile.ts';

/** One profile, a row for each thing that it says. */
export function drawProfile({ name, host, options }: Profile, width: number | undefined): string {
  const rows = [
    ['profile', '', name],
    ['host', '', host],
    ...storedOptions.flatMap((row) => {
      const value = options[row.name];
      if (value === undefined) return [];
      return valuesOf(value).map((text) => [row.describe, flagOf(row.name, value), text]);
    }),
  ];
  return drawColumns(
    [{ title: 'WHAT' }, { title: 'OPTION' }, { title: 'VALUE', leastWidth: 20 }],
    rows,
    width,
  );
}

/** One row each. */
export function drawProfiles(profiles: readonly Profile[], width: number | undefined): string {
  const rows = profiles.map(({ name, host, options }) => [name, host, commandLine(options)]);
  return drawColumns(
    [{ title: 'NAME' }, { title: 'HOST', leastWidth: 16 }, { title: 'OPTIONS', leastWidth: 16 }],
    rows,
    width,
  );
}

function commandLine(options: Profile['options']): string {
  return storedOptions
    .flatMap(({ name }) => {
      const value = options[name];
      if (value === undefined) return [];
      return valuesOf(value).map((text) =>
        [flagOf(name, value), typeof value === 'boolean' ? '' : text].join(' ').trim(),
      );
    })
    .join(' ');
}

function valuesOf(value: OptionValue): readonly string[] {
  if (typeof value === 'boolean') return [value ? 'yes' : 'no'];
  return typeof value === 'string' ? [value] : value;
}

function flagOf(name: string, value: OptionValue): string {
  if (name.length === 1) return `-${name}`;
  return value === false ? `--no-${name}` : `--${name}`;
}
