/** The files of host keys: there, whose, and who may read them. Runs in: user. */
import { statSync } from 'node:fs';
import { isPkcs11Uri } from '../../../../keys/pkcs11-uri.ts';
import { type Check, fail, type Finding, ok, reasonOf, warn } from '../check.ts';

type Look = Finding | 'missing';

function look(file: string, isRoot: boolean): Look {
  try {
    const { mode, uid } = statSync(file);
    const shown = (mode & 0o777).toString(8).padStart(4, '0');
    if ((mode & 0o077) !== 0) {
      return fail(
        `${file}: mode ${shown} lets others read it, it is not used`,
        `chmod 600 ${file}`,
      );
    }
    if (isRoot && uid !== 0)
      return warn(`${file} is uid ${uid}'s, not root's`, `chown root ${file}`);
    return ok(`${file} (${shown})`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'missing';
    return warn(`${file} cannot be seen: ${reasonOf(error)}`, 'run this as root');
  }
}

export const hostKeys: Check = {
  name: 'host keys',
  applies: ({ configuration }) => configuration !== null,
  look({ configuration, isRoot }) {
    const config = configuration?.config;
    const files = config?.hostKeyFiles ?? [];
    const looks = files
      .filter((file) => !isPkcs11Uri(file))
      .map((file) => [file, look(file, isRoot)] as const);
    const found = looks.flatMap(([, one]) => (one === 'missing' ? [] : [one]));
    const missing = looks.filter(([, one]) => one === 'missing').map(([file]) => file);
    const isNone = found.length === 0 && missing.length === files.length;
    if (isNone) return [fail(`none of ${files.join(', ')} is there`, 'ssh-keygen -A')];
    const isDefault = config?.isHostKeyDefault === true;
    return [
      ...found,
      ...(isDefault
        ? []
        : missing.map((file) =>
            warn(`${file} is not there`, 'ssh-keygen -A, or leave the line out'),
          )),
    ];
  },
};
