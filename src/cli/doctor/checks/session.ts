/** What runs in a desktop: XSession, the machine's session, or a window manager. Runs in: user. */
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { type Check, fail, ok, warn } from '../check.ts';

const sessionManager = '/usr/bin/x-session-manager';
const remedy =
  'install a desktop or a window manager (apt-get install icewm xterm), or set XSession';

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function found(name: string, path: string): string | undefined {
  if (isAbsolute(name)) return isProgram(name) ? name : undefined;
  return path
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find(isProgram);
}

export const session: Check = {
  name: 'session',
  look({ configuration, environment }) {
    const path = environment.PATH ?? '/usr/local/bin:/usr/bin:/bin';
    const configured = configuration?.desktopConfig.xSession;
    if (configured !== undefined) {
      const word = /^(?:exec\s+)?([\w./+-]+)/.exec(configured)?.[1];
      if (word === undefined) return [warn(`XSession is a script of its own: ${configured}`)];
      return found(word, path) === undefined
        ? [fail(`XSession: ${word} is not there`, 'install it, or set XSession to what is')]
        : [ok(`XSession: ${configured}`)];
    }
    if (isProgram(sessionManager)) return [ok(sessionManager)];
    // What is begun then (broker/environment.ts).
    const lacking = ['icewm-session', 'xterm'].filter((one) => found(one, path) === undefined);
    return lacking.length > 0
      ? [fail(`no ${sessionManager}, and no ${lacking.join(', no ')}: desktops stay empty`, remedy)]
      : [ok('icewm-session and xterm')];
  },
};
