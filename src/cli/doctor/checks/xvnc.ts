/** The X server of desktops. Runs in: user. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type Check, fail, ok, reasonOf } from '../check.ts';

const file = '/usr/bin/Xvnc';
const patienceMs = 5000;
const remedy =
  'apt-get install tigervnc-standalone-server; without it there are shells, and no desktops';

export const xvnc: Check = {
  name: 'X server',
  async look() {
    try {
      const { stdout, stderr } = await promisify(execFile)(file, ['-version'], {
        timeout: patienceMs,
        env: {},
      });
      const version = /Xvnc \S+ [\d.]+/.exec(`${stdout}${stderr}`)?.[0];
      return version === undefined
        ? [fail(`${file} does not say that it is TigerVNC's`, remedy)]
        : [ok(`${version}, ${file}`)];
    } catch (error) {
      const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      const why = isMissing ? 'is not there' : `does not run: ${reasonOf(error).split('\n')[0]}`;
      return [fail(`${file} ${why}`, remedy)];
    }
  },
};
