/**
 * What the checks need of /etc/krb5.conf (krb5.conf(5)): values of a section and of a realm in it.
 * Runs in: user.
 */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const maxFiles = 32;
const maxBytes = 256 * 1024;

export interface Krb5Conf {
  readonly file: string;
  /** `SECTION/NAME` and `SECTION/REALM/NAME`, each in the order of the files. */
  readonly values: ReadonlyMap<string, readonly string[]>;
}

/** Undefined: there is no such file, or it cannot be read. */
export function readKrb5Conf(environment: NodeJS.ProcessEnv): Krb5Conf | undefined {
  const file = environment.KRB5_CONFIG?.split(':')[0] || '/etc/krb5.conf';
  const values = new Map<string, string[]>();
  return collect(file, values, { left: maxFiles }) ? { file, values } : undefined;
}

function collect(file: string, values: Map<string, string[]>, files: { left: number }): boolean {
  if (files.left <= 0) return false;
  files.left -= 1;
  let text: string;
  try {
    text = readFileSync(file, 'utf8').slice(0, maxBytes);
  } catch {
    return false; // an include that is not there is the library's affair
  }
  let section = '';
  let group = '';
  for (const raw of text.split('\n')) {
    const line = raw.replace(/^\s*[#;].*/, '').trim();
    const directive = /^(include|includedir)\s+(.+)$/.exec(line);
    const pair = /^([^=]+?)\s*=\s*(.*)$/.exec(line);
    if (directive?.[2] !== undefined) {
      const isFolder = directive[1] === 'includedir';
      // As libkrb5: names of letters, digits, - and _, or ending in .conf.
      const named = isFolder ? globSync(join(directive[2], '*')).sort() : [directive[2]];
      const wanted = named.filter(
        (one) => !isFolder || /(?:^|\/)(?:[\w-]+|[^./][^/]*\.conf)$/.test(one),
      );
      for (const one of wanted) collect(one, values, files);
    } else if (line.startsWith('[')) {
      section = line.replace(/^\[\s*|\s*\].*$/g, '');
      group = '';
    } else if (line.startsWith('}')) {
      group = '';
    } else if (pair?.[1] !== undefined && pair[2]?.startsWith('{') === true) {
      group = `${pair[1]}/`;
    } else if (pair?.[1] !== undefined) {
      const key = `${section}/${group}${pair[1]}`;
      values.set(key, [...(values.get(key) ?? []), (pair[2] ?? '').replace(/^"(.*)"$/, '$1')]);
    }
  }
  return true;
}

export function firstOf({ values }: Krb5Conf, key: string): string | undefined {
  return values.get(key)?.[0];
}
