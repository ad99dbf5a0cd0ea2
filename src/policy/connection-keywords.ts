/**
 * The keywords of sshd_config(5) about a connection as such: how long, how many, how much of it is logged, as rows for server-keywords.ts. Pure.
 * Runs in: monitor, launcher.
 */
import type { ConfiguredLogLevel } from './config.ts';
import type { ServerDraft } from './server-draft.ts';
import { flag, row } from './server-row.ts';
import { integer, oneOf, seconds, startups } from './values.ts';

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

export const loginGraceTimeRow = row({
  name: 'LoginGraceTime',
  argument: 'time',
  summary: 'A connection that has not authenticated by then is ended; 0 is no limit.',
  defaultText: '120',
  field: 'loginGraceTimeMs',
  parse: (words) => seconds(words) * 1000,
  dump: (config) => String(config.loginGraceTimeMs / 1000),
});

export const maxStartupsRow = row({
  name: 'MaxStartups',
  argument: 'start:rate:full | full',
  summary:
    'Unauthenticated connections: from start on rate % are dropped, rising to all of them at full.',
  defaultText: '10:30:100',
  field: 'maxStartups',
  parse: startups,
  dump: ({ maxStartups }) => `${maxStartups.start}:${maxStartups.ratePercent}:${maxStartups.full}`,
});

export const clientAliveIntervalRow = row({
  name: 'ClientAliveInterval',
  argument: 'time',
  summary: 'After so long without a word of the client it is asked for one; 0 never asks.',
  defaultText: '0',
  field: 'clientAliveIntervalMs',
  parse: (words) => seconds(words) * 1000,
  dump: (config) => String(config.clientAliveIntervalMs / 1000),
});

export const clientAliveCountMaxRow = row({
  name: 'ClientAliveCountMax',
  argument: 'number',
  summary: 'So many questions without an answer end the connection; 0: it is never ended.',
  defaultText: '3',
  field: 'clientAliveCountMax',
  parse: integer(0),
  dump: (config) => String(config.clientAliveCountMax),
});

export const tcpKeepAliveRow = flag(
  'TCPKeepAlive',
  'tcpKeepAlive',
  'yes',
  'TCP itself looks whether the client is still there.',
  ['KeepAlive'],
);

export const logLevelRow = row({
  name: 'LogLevel',
  argument: 'QUIET | FATAL | ERROR | INFO | VERBOSE | DEBUG | DEBUG1 | DEBUG2 | DEBUG3',
  summary: 'How much is logged.',
  defaultText: 'INFO',
  field: 'logLevel',
  parse: oneOf<ConfiguredLogLevel>(logLevelNames),
  dump: (config) => dumpedLevels[config.logLevel] ?? config.logLevel,
});

export const connectionDefaults = {
  loginGraceTimeMs: 120_000,
  maxStartups: { start: 10, ratePercent: 30, full: 100 },
  clientAliveIntervalMs: 0,
  clientAliveCountMax: 3,
  tcpKeepAlive: true,
  logLevel: 'INFO',
} satisfies Partial<ServerDraft>;
