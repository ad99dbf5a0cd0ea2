/**
 * The PAM service of logins: its file, and the modules that it names. A required module that is not
 * there locks everybody out. Runs in: user.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { type Check, fail, type Finding, ok, warn } from '../check.ts';

const directory = '/etc/pam.d';
const moduleFolders = ['/usr/lib/*/security', '/lib/*/security', '/{usr/,}lib{64,}/security'];
/** Files include each other, and may do so without an end. */
const maxFiles = 64;
const maxBytes = 256 * 1024;

interface Line {
  readonly where: string;
  readonly control: string;
  readonly module: string;
}

/** The lines that name modules, through every include. A `-` in front: PAM wants no word about it. */
function linesOf(service: string, seen: Set<string>): readonly Line[] {
  const file = join(directory, service);
  if (seen.has(service) || seen.size >= maxFiles || !existsSync(file)) return [];
  seen.add(service);
  const text = readFileSync(file, 'utf8').slice(0, maxBytes).replaceAll('\\\n', ' ');
  return text.split('\n').flatMap((raw, index) => {
    const line = raw.replace(/#.*/, '').trim();
    const included = /^@include\s+(\S+)/.exec(line)?.[1];
    if (included !== undefined) return linesOf(included, seen);
    const fields = /^\S+\s+(\[[^\]]*\]|\S+)\s+(\S+)/.exec(line);
    if (line.startsWith('-') || fields === null) return [];
    const [, control = '', module = ''] = fields;
    return control === 'include' || control === 'substack'
      ? linesOf(module, seen)
      : [{ where: `${file}:${index + 1}`, control, module }];
  });
}

function isThere(module: string): boolean {
  return isAbsolute(module)
    ? existsSync(module)
    : moduleFolders.some((folder) => globSync(join(folder, module)).length > 0);
}

/** An optional one is passed over with a line in the log; any other counts as a refusal. */
function missing({ where, control, module }: Line): Finding {
  const what = `${where}: ${module} is not there`;
  const remedy = 'install the package that has it, or take the line out';
  return control === 'optional' || control === 'sufficient'
    ? warn(what, remedy)
    : fail(`${what}, and it is ${control}: nobody gets in that way`, remedy);
}

export const pamService: Check = {
  name: 'PAM',
  applies: ({ isRoot, configuration }) => isRoot && configuration !== null,
  look({ configuration }) {
    const config = configuration?.config;
    if (config?.usePam !== true) return [ok('UsePAM no')];
    const service = config.pamServiceName;
    const file = join(directory, service);
    if (!existsSync(file)) {
      return [
        fail(
          `UsePAM is on and there is no ${file}: PAM takes the service "other", which refuses everybody`,
          'apt-get install openssh-server, PAMServiceName, or UsePAM no',
        ),
      ];
    }
    const lines = linesOf(service, new Set());
    const gone = lines.filter(({ module }) => !isThere(module)).map(missing);
    return gone.length > 0 ? gone : [ok(`${file}: ${lines.length} lines, every module is there`)];
  },
};
