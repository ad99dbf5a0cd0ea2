/** What runs in a session of NX, by its type. Runs in: monitor (the programs run as the user). */
import { accessSync, constants } from 'node:fs';
import type { EngineParameters } from '../../../../src/broker/engine.ts';

/** Absent: what a desktop usually runs. The first program that is there. */
const programs: Readonly<Record<string, readonly string[]>> = {
  'unix-kde': ['/usr/bin/startplasma-x11', '/usr/bin/startkde'],
  'unix-gnome': ['/usr/bin/gnome-session'],
  'unix-xfce': ['/usr/bin/startxfce4'],
  'unix-console': ['/usr/bin/xterm'],
};
const windowManager = '/usr/bin/x-window-manager';

export const nxTypes: readonly string[] = [
  ...['unix-desktop', 'unix-default', 'unix-kde', 'unix-gnome', 'unix-xfce'],
  ...['unix-console', 'unix-application'],
];

function isThere(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** `usual`: what a desktop runs where its type says nothing. */
export function sessionOf(
  type: string,
  parameters: EngineParameters,
  rootless: boolean,
  usual: string,
  isInstalled: (file: string) => boolean = isThere,
): { readonly command: string } | { readonly why: string } {
  const names = programs[type];
  if (type !== 'unix-application' && names === undefined) {
    return { command: usual };
  }
  const found = names?.find(isInstalled);
  if (names !== undefined && found === undefined) {
    return { why: `Session type ${type} needs ${names.join(' or ')}, which is not installed.` };
  }
  const program = found === undefined ? (parameters.get('application') ?? '') : `exec ${found}`;
  const isWithin = !rootless && (type === 'unix-application' || type === 'unix-console');
  return {
    command: isWithin && isInstalled(windowManager) ? `${windowManager} & ${program}` : program,
  };
}
