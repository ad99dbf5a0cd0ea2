/**
 * What is logged, and where: keywords of sshd_config(5), and those of sshdesk_config that sshd has
 * no word for. Pure. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import type { ConfiguredLogLevel, DesktopConfig, ServerConfig } from './config.ts';
import { type KeywordRow, keyword } from './keyword.ts';
import { row } from './server-row.ts';
import { oneOf, single } from './values.ts';
import type { Words } from './words.ts';

/** The part of sshdesk_config that is here. */
type LogDraft = Pick<DesktopConfig, 'logTag' | 'logFormat'>;

const logLevelNames: Readonly<Record<string, ConfiguredLogLevel>> = {
  silent: 'QUIET',
  quiet: 'QUIET',
  fatal: 'FATAL',
  error: 'ERROR',
  info: 'INFO',
  verbose: 'VERBOSE',
  debug: 'DEBUG1',
  debug1: 'DEBUG1',
  debug2: 'DEBUG2',
  debug3: 'DEBUG3',
};

/** sshd prints the first of its names for a level. */
const dumpedLevels: Partial<Record<ConfiguredLogLevel, string>> = {
  QUIET: 'SILENT',
  DEBUG1: 'DEBUG',
};

const facilityNames = [
  ...['DAEMON', 'USER', 'AUTH', 'AUTHPRIV', 'LOCAL0', 'LOCAL1', 'LOCAL2', 'LOCAL3'],
  ...['LOCAL4', 'LOCAL5', 'LOCAL6', 'LOCAL7'],
] as ServerConfig['syslogFacility'][];

export const logLevelRow = row({
  name: 'LogLevel',
  argument: 'QUIET | FATAL | ERROR | INFO | VERBOSE | DEBUG | DEBUG1 | DEBUG2 | DEBUG3',
  summary: 'How much is logged; in a Match block: of its connections, once their user is known.',
  defaultText: 'INFO',
  field: 'logLevel',
  parse: oneOf<ConfiguredLogLevel>(logLevelNames),
  dump: (config) => dumpedLevels[config.logLevel] ?? config.logLevel,
});

export const syslogFacilityRow = row({
  name: 'SyslogFacility',
  argument: facilityNames.join(' | '),
  summary: 'Where syslog has the log.',
  defaultText: 'AUTH',
  field: 'syslogFacility',
  parse: oneOf(Object.fromEntries(facilityNames.map((name) => [name.toLowerCase(), name]))),
  dump: (config) => config.syslogFacility,
});

const mostTagCharacters = 32;

/** What stands in front of every line must not look like something else. */
function tag(words: Words): string {
  const word = single(words);
  if (!/^[A-Za-z0-9_.-]+$/.test(word) || word.length > mostTagCharacters) {
    throw new ConfigError(
      `"${word}" is no tag: up to ${mostTagCharacters} letters, digits, dots, dashes and underscores`,
    );
  }
  return word;
}

export const logRows: readonly KeywordRow<LogDraft, DesktopConfig>[] = [
  keyword<LogDraft, DesktopConfig, 'logTag'>({
    name: 'LogTag',
    argument: 'name',
    summary:
      'What syslog has in front of the number in brackets, in the lines of PAM modules too. fail2ban looks for `sshd` or `sshd-session`.',
    defaultText: 'sshd',
    field: 'logTag',
    parse: tag,
    dump: (config) => config.logTag,
  }),
  keyword<LogDraft, DesktopConfig, 'logFormat'>({
    name: 'LogFormat',
    argument: 'sshd | json',
    summary: "`sshd`: sshd's lines; `json`: one JSON object per line, see docs/reference/log.md.",
    defaultText: 'sshd',
    field: 'logFormat',
    parse: oneOf<DesktopConfig['logFormat']>({ sshd: 'sshd', json: 'json' }),
    dump: (config) => config.logFormat,
  }),
];

export const desktopLogDefaults = { logTag: 'sshd', logFormat: 'sshd' } as const;

export const logDefaults = { logLevel: 'INFO', syslogFacility: 'AUTH' } as const;
