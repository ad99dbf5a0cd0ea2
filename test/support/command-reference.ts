/**
 * docs/reference/commands.md and the manual pages, made from the definitions that the commands are
 * parsed with. Runs in: test.
 */
import type { Argv, CommandModule } from 'yargs';
import { commands } from '../../src/cli/commands/index.ts';
import { exitCodes as connectExitCodes } from '../../src/cli/connect/run.ts';
import { flagText, serveFlags, usage } from '../../src/cli/serve/flags.ts';

interface Argument {
  readonly name: string;
  readonly alias?: string;
  readonly describe: string;
  readonly takesValue: boolean;
  readonly isPositional: boolean;
}

export interface Described {
  readonly name: string;
  /** As yargs has it: `sessions <action> [which]`. */
  readonly synopsis: string;
  readonly describe: string;
  readonly arguments: readonly Argument[];
}

interface OptionDefinition {
  readonly alias?: string;
  readonly describe?: string;
  readonly type?: string;
}

interface Declared {
  readonly arguments: readonly Argument[];
  readonly commands: readonly CommandModule[];
}

/** What a builder declares. Everything else of it returns the recorder again. */
function declared(builder: unknown): Declared {
  const found: Argument[] = [];
  const commandsOf: CommandModule[] = [];
  const record = (isPositional: boolean) => (name: string, definition: OptionDefinition) => {
    const { alias, describe = '', type } = definition;
    found.push({
      name,
      ...(alias === undefined ? {} : { alias }),
      describe,
      takesValue: type !== 'boolean' && type !== 'count',
      isPositional,
    });
    return recorder;
  };
  const recorder: Argv = new Proxy({} as Argv, {
    get(_target, property) {
      if (property === 'command') {
        return (command: CommandModule) => {
          commandsOf.push(command);
          return recorder;
        };
      }
      if (property === 'option' || property === 'positional') {
        return record(property === 'positional');
      }
      return () => recorder;
    },
  });
  (builder as (yargs: Argv) => unknown)(recorder);
  return { arguments: found, commands: commandsOf };
}

export async function describedCommands(): Promise<readonly Described[]> {
  const all: Described[] = [];
  for (const { name, load } of commands) {
    all.push(...describedOf([], name, await load()));
  }
  return all;
}

/** A command that has commands is there for their sake: only they are described. */
function describedOf(
  of: readonly string[],
  name: string,
  { command, describe, builder }: CommandModule,
): readonly Described[] {
  const { arguments: own, commands: inner } = declared(builder);
  if (inner.length > 0) {
    return inner.flatMap((one) =>
      describedOf([...of, name], String(one.command).split(' ', 1).join(''), one),
    );
  }
  return [
    {
      name: [...of, name].join(' '),
      synopsis: [...of, String(command)].join(' '),
      describe: String(describe),
      arguments: own,
    },
  ];
}

/** The exit status is a contract: what a number says here it will go on saying. */
export const exitStatus: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  start: [
    ['0', 'ended by SIGTERM or Ctrl-C'],
    ['2', 'usage'],
    ['255', 'could not start: the port is taken (by whom is said), a file cannot be used'],
  ],
  serve: [
    ['0', 'with `-D`, `-i`, `-d`: ended in order. Without: the daemon listens'],
    ['0', '`-t`, `-T`: nothing is wrong. `-V`, `--help`: printed'],
    ['1', 'usage, as sshd'],
    ['255', 'configuration, key or port cannot be used; each fault is a line on stderr'],
  ],
  doctor: [
    ['0', 'nothing has failed; there may be warnings'],
    ['1', 'something has failed'],
    ['2', 'usage'],
  ],
  explain: [
    ['0', 'the daemon takes the configuration'],
    ['1', 'it does not: a line is wrong or not supported, or lines contradict each other'],
    ['2', 'usage'],
    ['255', 'no file could be read, or `-C` is wrong'],
  ],
  connect: [
    ['0', 'done'],
    [String(connectExitCodes.desktop), 'the desktop could not be started or shown, or has ended'],
    [String(connectExitCodes.usage), 'usage, or a profile that is not there or wrong'],
    [String(connectExitCodes.authentication), 'authentication failed'],
    [String(connectExitCodes['host-key']), 'the host key is unknown or has changed'],
    ['128+N', 'ended by signal N'],
    [
      String(connectExitCodes.connection),
      'no connection, or it was lost, or a tunnel that is needed cannot be had',
    ],
    ['0–254', 'with a command, `--shell` or `-s`: its exit status'],
    ['255', 'with one of these: any failure, or its own 255, or a signal has ended it'],
  ],
  'profile add': [
    ['0', 'done'],
    ['1', 'there is one of this name, or it cannot be written'],
    ['2', 'usage, or something that no profile keeps'],
  ],
  'profile list': [
    ['0', 'done'],
    ['2', 'usage; or a file is wrong: which, and where, is on stderr, the others are listed'],
  ],
  ...Object.fromEntries(
    ['show', 'remove', 'export'].map((name) => [
      `profile ${name}`,
      [
        ['0', 'done'],
        ['1', 'a file cannot be written or removed'],
        ['2', 'usage, there is no such profile, or its file is wrong'],
      ],
    ]),
  ),
  'keys add': [
    ['0', 'the keys are there, added now or before'],
    ['1', 'nothing was changed, or a key is there with other options; why is said'],
    ['2', 'usage'],
    ['130', 'Ctrl-C at the question for a PIN'],
  ],
  'keys list': [
    ['0', 'done'],
    ['1', 'there is no card, or one of what was asked for could not be read; why is on stderr'],
    ['2', 'usage'],
    ['130', 'Ctrl-C at the question for a PIN'],
  ],
  nxserver: [
    ['0', 'done'],
    ['1', 'refused: what is behind `NX> 500` says why'],
    ['2', 'usage'],
  ],
  sessions: [
    ['0', 'done'],
    ['1', 'no such desktop, not allowed, or none was named'],
    ['2', 'usage'],
    ['255', 'no daemon is reached'],
  ],
  who: [
    ['0', 'done'],
    ['1', 'the daemon refuses'],
    ['2', 'usage'],
    ['255', 'no daemon is reached'],
  ],
  last: [
    ['0', 'done'],
    ['1', 'the daemon refuses, or logins are not recorded'],
    ['2', 'usage'],
    ['255', 'no daemon is reached'],
  ],
  subsystem: [
    ['0', 'done; the client left, or the desktop was suspended'],
    ['1', 'no desktop: why is on stderr; or it has ended'],
    ['2', 'usage'],
    ['255', 'whoever has the desktops cannot be reached; why is on stderr'],
  ],
};

function statusOf(name: string): readonly (readonly [string, string])[] {
  const rows = exitStatus[name];
  if (rows === undefined) {
    throw new Error(`nothing is said about the exit status of ${name}`);
  }
  return rows;
}

/** `help` gives what `sshdesk NAME --help` prints. */
export async function commandReference(help: (name: string) => Promise<string>): Promise<string> {
  const parts: string[] = [];
  for (const { name } of await describedCommands()) {
    const rows = statusOf(name).map(([code, says]) => `| ${code} | ${says} |`);
    const text = (await help(name)).trimEnd();
    parts.push(
      [`## ${name}`, '', '```text', text, '```', '', '| exit status | says |', '|---|---|', ...rows]
        .join('\n')
        .concat('\n'),
    );
  }
  return `# Commands

Made from the definitions of the commands; a test compares. To write it anew:
\`UPDATE_REFERENCE=1 node --test test/unit/docs/reference/commands.test.ts\`

The exit status is a contract: a number keeps its meaning. \`sshdesk\` without a command, or with one
that does not exist: 2. Not set up, or a fault of sshdesk itself (\`internal error\`): 255. An error is a line on stderr; stdout has only what was asked
for. \`sshdesk --help\` and \`sshdesk --version\`: 0.

${parts.join('\n')}`;
}

/** roff: a line that begins with a dot or quote is a request, a backslash an escape. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/gm, '\\&$1')
    .replaceAll('`', '');
}

function option(flag: string, describe: string): string {
  return `.TP\n.B ${roff(flag)}\n${roff(describe)}`;
}

function flagOf({ name, alias, takesValue, isPositional }: Argument): string {
  if (isPositional) {
    return name;
  }
  const dashed = [name, ...(alias === undefined ? [] : [alias])].map((one) =>
    one.length === 1 ? `-${one}` : `--${one}`,
  );
  return `${dashed.join(', ')}${takesValue ? ' VALUE' : ''}`;
}

function statusSection(name: string): string {
  return statusOf(name)
    .map(([code, says]) => option(code, says))
    .join('\n');
}

const made =
  '.\\" Made from the definitions of the commands by the test of docs/reference/commands.md.';

export async function userManual(version: string): Promise<string> {
  const parts = (await describedCommands()).map(({ name, synopsis, describe, ...rest }) => {
    const title = `.SS sshdesk ${roff(name === 'serve' ? 'serve [FLAGS]' : synopsis)}\n${roff(describe)}`;
    if (name === 'serve') {
      return `${title}: see\n.BR sshdesk\\-serve (8).`;
    }
    const options = rest.arguments.map((one) => option(flagOf(one), one.describe));
    return [title, ...options, '.PP', 'Exit status:', statusSection(name)].join('\n');
  });
  return `${made}
.TH SSHDESK 1 "" "sshdesk ${version}" "User Commands"
.SH NAME
sshdesk \\- an SSH server with desktops in it, and its client
.SH SYNOPSIS
.B sshdesk
.I COMMAND
[ARGUMENTS]
.SH DESCRIPTION
One port, one login and one policy give a shell, file transfer and a remote desktop that is still
there when you come back.
.SH COMMANDS
${parts.join('\n')}
.SH SEE ALSO
.BR sshdesk\\-serve (8),
.BR ssh (1),
.BR vncviewer (1)
`;
}

export function serveManual(version: string): string {
  const flags = serveFlags
    .filter(({ isInternal }) => isInternal !== true)
    .map((row) => option(flagText(row), row.summary));
  const files: readonly (readonly [string, string])[] = [
    ['/etc/ssh/sshd_config', 'the configuration; docs/reference/config.md has every keyword'],
    ['/etc/sshdesk/sshdesk_config', 'desktops and workers; need not exist'],
    ['/run/sshdesk/control.sock', 'where `sshdesk sessions` asks'],
    ['/run/sshdesk/local.sock', 'where `sshdesk subsystem` asks'],
    ['/run/sshdesk/desktops', 'what live desktops need'],
    ['/var/lib/sshdesk/state.db', 'desktops, live and past'],
    ['/var/lib/sshdesk/logins.db', 'logins of the last 90 days, for `sshdesk last`'],
  ];
  const signals: readonly (readonly [string, string])[] = [
    ['SIGTERM', 'Closes the listeners; live logins go on. A second one ends them. Desktops stay.'],
    ['SIGINT', 'Ends listeners and logins. Desktops stay.'],
    [
      'SIGHUP',
      'Reads both configurations and the host keys again, for the connections that come then; those that are there keep what they had. If anything is wrong the log says where, and nothing changes. The log file of -E is opened anew.',
    ],
  ];
  const list = (rows: readonly (readonly [string, string])[]) =>
    rows.map(([name, says]) => option(name, says)).join('\n');
  return `${made}
.TH SSHDESK\\-SERVE 8 "" "sshdesk ${version}" "System Administration"
.SH NAME
sshdesk\\-serve \\- the server of sshdesk
.SH SYNOPSIS
.nf
${roff(usage.replace('usage: ', ''))}
.fi
.SH DESCRIPTION
Serves SSH in the place of
.BR sshd (8),
with its configuration, PAM stack, host keys and accounts, and desktops besides. As root it serves
every account; without root the invoking user only, with public keys only. Without
.B \\-D
it goes to the background when it listens.
.SH FLAGS
${flags.join('\n')}
.SH EXIT STATUS
${statusSection('serve')}
.SH SIGNALS
${list(signals)}
.SH FILES
${list(files)}
.SH SEE ALSO
.BR sshdesk (1),
.BR sshd_config (5)
`;
}
