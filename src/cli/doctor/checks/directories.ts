/** Where the daemon keeps what it keeps: nobody else may write there. Runs in: user. */
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Check, fail, type Finding, ok, reasonOf, warn } from '../check.ts';

const groupOrOther = 0o022;

function look(directory: string): Finding {
  try {
    const status = statSync(directory);
    const mode = (status.mode & 0o7777).toString(8).padStart(4, '0');
    if (!status.isDirectory())
      return fail(`${directory} is no directory`, `move ${directory} away`);
    if (status.uid !== process.getuid?.()) {
      return fail(`${directory} is uid ${status.uid}'s`, `chown it to who runs the daemon`);
    }
    return (status.mode & groupOrOther) === 0
      ? ok(`${directory} (${mode})`)
      : fail(`${directory}: mode ${mode} lets others write there`, `chmod go-w ${directory}`);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
      ? ok(`${directory} is made at the start`)
      : warn(`${directory} cannot be seen: ${reasonOf(error)}`, 'run this as who runs the daemon');
  }
}

export const directories: Check = {
  name: 'directories',
  look: ({ places }) => [places.runtimeDirectory, dirname(places.storeFile)].map(look),
};
