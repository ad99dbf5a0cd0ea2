/** /tmp/.X11-unix: root's with the sticky bit, or another user's X server poses as a desktop. Runs in: user. */
import { lstatSync } from 'node:fs';
import { x11Directory as directory } from '../../../broker/x-display.ts';
import { type Check, fail, ok, warn } from '../check.ts';

const remedy = `as root: mkdir -p ${directory}; chown root ${directory}; chmod 1777 ${directory}`;

export const x11Directory: Check = {
  name: 'X11 directory',
  look({ isRoot }) {
    const status = lstatSync(directory, { throwIfNoEntry: false });
    if (status === undefined) {
      return [
        isRoot ? ok(`${directory} is made at the start`) : warn(`${directory} is missing`, remedy),
      ];
    }
    const mode = (status.mode & 0o7777).toString(8).padStart(4, '0');
    if (!status.isDirectory())
      return [fail(`${directory} is no directory`, `rm ${directory}, then ${remedy}`)];
    if (status.uid !== 0) return [warn(`${directory} is uid ${status.uid}'s`, remedy)];
    return (status.mode & 0o7777) === 0o1777
      ? [ok(`${directory} (${mode})`)]
      : [warn(`${directory}: mode ${mode}`, remedy)];
  },
};
