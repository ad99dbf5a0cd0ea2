/**
 * docs/reference/clients.md, made of the rows of foreign-client.ts and of the abilities that the files
 * in test/interop/clients show. Runs in: test.
 */
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { checkout } from './lab.ts';
import { type ForeignClient, foreignClients } from './foreign-client.ts';

const folder = path.join(checkout, 'test/interop/clients');

/** The columns; any other ability stands in the last one. */
const columns = [
  ...['key ed25519', 'key rsa', 'password', 'keyboard-interactive', 'command', 'upload'],
  ...['download', 'rekey', 'rekeyed', 'pty', '-L', '-R', 'agent'],
] as const;

export interface TestedClient {
  readonly name: string;
  readonly abilities: readonly string[];
}

/** What each test file shows, in its order. */
export function testedClients(): readonly TestedClient[] {
  return globSync('*.test.ts', { cwd: folder })
    .sort()
    .map((file) => {
      const text = readFileSync(path.join(folder, file), 'utf8');
      const abilities = [...text.matchAll(/^\s*can\(\s*'([^'\n]+)'/gm)].map(
        ([, name]) => name ?? '',
      );
      return { name: file.replace('.test.ts', ''), abilities: [...new Set(abilities)] };
    });
}

export function clientReference(): string {
  const tested = new Map(testedClients().map(({ name, abilities }) => [name, abilities]));
  const rows = Object.entries(foreignClients).map(([name, client]: [string, ForeignClient]) => {
    const abilities = tested.get(name) ?? [];
    const cells = columns.map((column) => (abilities.includes(column) ? 'yes' : '–'));
    const besides = abilities.filter(
      (ability) => !(columns as readonly string[]).includes(ability),
    );
    return [client.title, client.package, client.version, ...cells, besides.join(', ')];
  });
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const head = ['client', 'package', 'version', ...columns, 'besides'];
  return [
    '# Clients',
    '',
    'SSH clients of others that `test/interop/clients` tries against sshdesk, in the versions of Debian 12.',
    'A test compares this page with the tests. Server and clients choose their algorithms by themselves;',
    'where the lists of the stock configuration are too strict for a client, it is said below.',
    '',
    '- *yes*: a test shows it. *–*: the client has no such thing, or leaves it to the `ssh` that it starts.',
    '- *command*: the exit status arrives, and stderr apart from stdout. *upload*, *download*: 21 MiB, the',
    '  same at the other end byte for byte. *rekey*: the client wants new keys in the midst of a transfer;',
    '  *rekeyed*: the server does (`RekeyLimit 3M`). *-L*, *-R*: 21 MiB there and back through a forwarded',
    '  port.',
    '',
    line(head),
    `|${head.map(() => '---|').join('')}`,
    ...rows.map(line),
    '',
    ...Object.values(foreignClients).flatMap((client: ForeignClient) =>
      client.needs === undefined
        ? []
        : [
            `${client.title} needs ${client.needs.lines.map((text) => `\`${text}\``).join(', ')}: ${client.needs.why}.`,
            '',
          ],
    ),
    'rsync, git, Ansible and Mosh start OpenSSH’s `ssh`, sshfs too. A client that is not installed is',
    'skipped, with the name of its package; where the variable `CI` is set that is a failure.',
    '',
  ].join('\n');
}
