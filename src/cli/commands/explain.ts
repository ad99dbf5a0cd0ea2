/**
 * `sshdesk explain`: what becomes of every line of the configuration. Exit status: 0 the daemon takes
 * it, 1 it does not, 255 nothing could be read. Runs in: user.
 */
import { cpus } from 'node:os';
import type { CommandModule } from 'yargs';
import { ConfigError } from '../../base/errors.ts';
import type { ServerConfig } from '../../policy/config.ts';
import type { ConfigLine } from '../../policy/config-line.ts';
import { systemSource } from '../../policy/config-source.ts';
import { checkConnectionSpec, subjectOf } from '../../policy/connection-spec.ts';
import {
  type Explanation,
  type ExplainedLine,
  explainLines,
  isUsable,
} from '../../policy/explain.ts';
import { ConfigFailure } from '../../policy/failure.ts';
import {
  defaultDesktopFile,
  defaultServerFile,
  desktopGrammar,
  type LoadedServer,
  loadConfig,
  loadDesktopConfig,
  serverGrammar,
} from '../../policy/load.ts';
import { type MatchSubject, unknownSubject } from '../../policy/match.ts';
import { serverKeywords } from '../../policy/server-keywords.ts';
import { drawLines, drawValues } from '../explain/draw.ts';
import { accountOf } from '../serve/account.ts';

interface Arguments {
  f: string | undefined;
  C: readonly string[] | undefined;
  o: readonly string[] | undefined;
  'desktop-config': string | undefined;
  json: boolean;
}

const refused = 1;
const failed = 255;
/** Where nothing says how wide it is. */
const usualColumns = 100;

interface Read {
  readonly lines: readonly ExplainedLine[];
  readonly winners: Explanation['winners'];
  readonly isUsable: boolean;
  /** What is wrong, and no line's fault alone. */
  readonly problems: readonly string[];
}

/** What a ConfigFailure says that is not said of a line. */
function besides(error: ConfigFailure, lines: readonly ConfigLine[]): readonly string[] {
  const said = new Set(
    lines
      .filter(({ problem }) => problem !== undefined)
      .map(({ file, line }) => `${file}:${line}: `),
  );
  return error.lines.filter((text) => ![...said].some((where) => text.startsWith(where)));
}

async function problemsOf(
  load: () => Promise<unknown>,
  lines: readonly ConfigLine[],
): Promise<readonly string[]> {
  try {
    await load();
    return [];
  } catch (error) {
    if (error instanceof ConfigFailure) {
      return besides(error, lines);
    }
    throw error;
  }
}

function read(
  lines: readonly ConfigLine[],
  grammar: Parameters<typeof explainLines>[1],
  subject: MatchSubject | undefined,
  problems: readonly string[],
): Read {
  const explanation = explainLines(lines, grammar, systemSource(), subject);
  return {
    ...explanation,
    isUsable: isUsable(explanation) && problems.length === 0,
    problems,
  };
}

function subjectFor(specs: readonly string[]): MatchSubject | undefined {
  for (const spec of specs) {
    const verdict = checkConnectionSpec(spec);
    if (!verdict.allowed) {
      throw new ConfigError(verdict.detail);
    }
  }
  return specs.length === 0 ? undefined : subjectOf(specs, accountOf);
}

/** Without a connection: what holds for all. A Match of a port cannot be judged then, and is left out. */
function configFor(loaded: LoadedServer, subject: MatchSubject | undefined): ServerConfig {
  if (subject !== undefined) {
    return loaded.configFor(subject);
  }
  try {
    return loaded.configFor(unknownSubject);
  } catch (error) {
    if (error instanceof ConfigError) {
      return loaded.config;
    }
    throw error;
  }
}

/** The values of a keyword as `-T` has them. */
function valuesOf(config: ServerConfig, keyword: string): readonly string[] {
  const row = serverKeywords.find(({ name }) => name === keyword);
  return (row?.dump(config) ?? []).map((line) => line.slice(line.indexOf(' ') + 1));
}

async function run(values: Arguments): Promise<number> {
  const source = systemSource();
  const subject = subjectFor(values.C ?? []);
  const serverLines: ConfigLine[] = [];
  const desktopLines: ConfigLine[] = [];
  let loaded: LoadedServer | undefined;
  const serverProblems = await problemsOf(async () => {
    loaded = await loadConfig({
      file: values.f ?? defaultServerFile,
      commandLine: values.o ?? [],
      source,
      onLine: (line) => serverLines.push(line),
    });
  }, serverLines);
  const desktopProblems = await problemsOf(async () => {
    loadDesktopConfig({
      file: values['desktop-config'] ?? defaultDesktopFile,
      isFileRequired: values['desktop-config'] !== undefined,
      cores: cpus().length,
      source,
      onLine: (line) => desktopLines.push(line),
    });
  }, desktopLines);
  const server = read(serverLines, serverGrammar, subject, serverProblems);
  const desktop = read(desktopLines, desktopGrammar, subject, desktopProblems);
  const lines = [...server.lines, ...desktop.lines];
  const problems = [...server.problems, ...desktop.problems];
  const config = loaded === undefined ? undefined : configFor(loaded, subject);
  const inForce = server.winners.map(({ keyword, from }) => ({
    keyword,
    values: config === undefined ? [] : valuesOf(config, keyword),
    from,
  }));
  const usable = server.isUsable && desktop.isUsable;
  if (values.json) {
    const all = { isUsable: usable, lines, problems, inForce: [...inForce, ...desktop.winners] };
    process.stdout.write(`${JSON.stringify(all, undefined, 2)}\n`);
  } else {
    const columns = process.stdout.columns ?? (Number(process.env.COLUMNS) || usualColumns);
    process.stdout.write(drawLines(lines, columns));
    if (config !== undefined) {
      const drawn = inForce.map(({ keyword, values: said, from }) => ({
        keyword,
        value: said.join('; '),
        from: from.join(', '),
      }));
      process.stdout.write(drawValues(drawn, columns));
    }
  }
  for (const problem of problems) {
    process.stderr.write(`${problem}\n`);
  }
  return usable ? 0 : lines.length === 0 ? failed : refused;
}

export const explain: CommandModule<object, Arguments> = {
  command: 'explain',
  describe: 'what becomes of every line of the configuration, and which line wins',
  builder: (yargs) =>
    yargs
      .option('f', { type: 'string', describe: 'file instead of /etc/ssh/sshd_config' })
      .option('C', {
        type: 'string',
        array: true,
        describe: 'connection, as user=NAME,addr=ADDRESS,…: which Match blocks apply',
      })
      .option('o', {
        type: 'string',
        array: true,
        describe: 'line in front of the file, as KEY=VALUE',
      })
      .option('desktop-config', {
        type: 'string',
        describe: 'file instead of /etc/sshdesk/sshdesk_config',
      })
      .option('json', { type: 'boolean', default: false, describe: 'one object, for programs' }),
  handler: async (values) => {
    try {
      process.exitCode = await run(values);
    } catch (error) {
      if (!(error instanceof ConfigError)) {
        throw error;
      }
      process.stderr.write(`sshdesk: explain: ${error.detail}\n`);
      process.exitCode = failed;
    }
  },
};
