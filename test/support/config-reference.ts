/** docs/reference/config.md, made from the keyword tables; its test compares, and writes on request. */
import { keyOptionNames } from '../../keys/key-options.ts';
import { desktopKeywords, desktopMatchKeywords } from '../../src/policy/desktop-keywords.ts';
import { matchKeywords } from '../../src/policy/match.ts';
import type { KeywordRow } from '../../src/policy/keyword.ts';
import {
  deprecatedKeywords,
  meaninglessKeywords,
  unsupportedKeywords,
} from '../../src/policy/other-keywords.ts';
import { serverKeywords } from '../../src/policy/server-keywords.ts';

interface Entry {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly argument: string;
  readonly summary: string;
  readonly defaultText: string;
  readonly counts: KeywordRow<never, never>['counts'];
}

const include: Entry = {
  name: 'Include',
  aliases: [],
  argument: 'pattern ...',
  summary:
    'Reads the files that match, in lexical order, at this place. Relative to the folder of the file by default. At most 16 deep, 1024 files and 1 MiB in all.',
  defaultText: 'none',
  counts: 'all',
};

const match: Entry = {
  name: 'Match',
  aliases: [],
  argument:
    'all | [User | Group | Host | Address | LocalAddress | RDomain] list ... | LocalPort port | Invalid-User',
  summary: `What follows, up to the next Match or the end of the file, holds for connections that every
criterion fits, and there beats what stands outside; of several such blocks the first that says
something counts. Judged once the user is known. In a list, a hit behind \`!\` is no. \`Match all\` ends
a block. May stand in a block: ${serverKeywords
    .map((row) => row.name)
    .filter((name) => matchKeywords.has(name.toLowerCase()))
    .toSorted((a, b) => a.localeCompare(b, 'en'))
    .join(', ')}, Include.`,
  defaultText: 'none',
  counts: 'all',
};

const desktopMatch: Entry = {
  name: 'Match',
  aliases: [],
  argument: 'all | [User | Group] list ...',
  summary: `As in sshd_config, for the desktops of a user: looked at when one is started or opened, and at a login
with a key. May stand in a block: ${desktopKeywords
    .map((row) => row.name)
    .filter((name) => desktopMatchKeywords.has(name.toLowerCase()))
    .join(', ')}, Include.`,
  defaultText: 'none',
  counts: 'all',
};

function entry(row: Entry): string {
  const lines = [`### ${row.name}`, '', `    ${row.name} ${row.argument}`, '', row.summary];
  const more = [`Default: ${row.defaultText}.`];
  if (row.counts === 'all' || row.counts === 'by name') {
    more.push('Several lines add up.');
  }
  if (row.aliases.length > 0) {
    more.push(`Also: ${row.aliases.join(', ')}.`);
  }
  return [...lines, more.join(' '), ''].join('\n');
}

function entries(rows: readonly KeywordRow<never, never>[], others: readonly Entry[]): string {
  return [...rows, ...others]
    .toSorted((a, b) => a.name.localeCompare(b.name, 'en'))
    .map(entry)
    .join('\n');
}

function listing(names: readonly string[]): string {
  return names.toSorted((a, b) => a.localeCompare(b, 'en')).join(', ');
}

export function configReference(): string {
  return `# Configuration

Made from the keyword tables in \`src/policy\`; a test compares. To write it anew:
\`UPDATE_REFERENCE=1 node --test test/unit/docs/reference/config.test.ts\`

Two files with one grammar: \`/etc/ssh/sshd_config\` (\`-f\` names another) and
\`/etc/sshdesk/sshdesk_config\` (\`--desktop-config\` names another; it need not exist). One keyword per
line, \`Keyword value\` or \`Keyword=value\`, without regard to case; \`#\` begins a comment at the start
of a word; quotes of both kinds, in them \`\\"\` and \`\\\\\`. Of several lines with one keyword the first
counts, except where they add up; \`-o Keyword=value\` comes before the file. Times are \`90\`, \`10m\`,
\`1h30m\`, \`1w\`. Everything that is wrong is listed at once as \`FILE:LINE: KEYWORD: what is wrong\`,
with exit status 255. \`-T\` prints the keywords of the first file that are in effect, as Debian's
\`sshd -T\` prints them.

## /etc/ssh/sshd_config

${entries(serverKeywords as readonly KeywordRow<never, never>[], [include, match])}
### Deprecated

Ignored with a line in the log, as in sshd: ${listing(deprecatedKeywords)}.

### Without meaning

They are about programs and habits of sshd; a line for who debugs: ${listing(meaninglessKeywords)}.

### Not supported

Each of these stops the start, because to ignore a restriction would be a hole:
${listing(unsupportedKeywords)}.

Any other keyword is a \`Bad configuration option\`.

### Where it differs from OpenSSH 9.2

- MaxStartups, PerSourceMaxStartups, PerSourceNetBlockSize: the first line counts, as for other keywords;
  in 9.2 the last one does. Nothing may stand behind the numbers of MaxStartups.
- A list of algorithms of users, authorities or hosts from which nothing is left is an error.
- PerSourceNetBlockSize: one number leaves IPv6 at 128; in 9.2 it makes one source of all of IPv6.
- Subsystem: of two lines with one name the first counts, as in OpenSSH since 9.5; 9.2 refuses to start.
- AuthorizedKeysFile: a token that does not exist stops the start, not the first login.
- AcceptEnv: no pattern opens names that are not \`[A-Za-z_][A-Za-z0-9_]*\`, those of the dynamic linker
  (\`LD_*\`, \`GLIBC_*\`), start-up variables of shells and interpreters (\`BASH_ENV\`, \`NODE_OPTIONS\`,
  \`PYTHONPATH\` and their like) and those of the account and the session (\`PATH\`, \`HOME\`, \`SSH_*\` of
  sshd). PermitUserEnvironment keeps the dynamic linker's out.
- All errors are listed, not only the first of each kind.

## authorized_keys

Options in front of a key, separated by commas, without regard to case; a value stands in double quotes,
in which \`\\"\` is a quote. A line with an option that is unknown or wrong does not count. A line longer
than 64 KiB does not count.

${keyOptionNames.map((name) => `\`${name}\``).join(', ')}

## /etc/sshdesk/sshdesk_config

${entries(desktopKeywords as readonly KeywordRow<never, never>[], [include, desktopMatch])}`;
}
