/**
 * The keywords of sshd_config(5) about a connection as such: how long, how many, as rows for
 * server-keywords.ts. Pure.
 * Runs in: monitor, launcher.
 */
import type { ServerDraft } from './server-draft.ts';
import { flag, row } from './server-row.ts';
import { integer, seconds, startups } from './values.ts';

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

export const connectionDefaults = {
  loginGraceTimeMs: 120_000,
  maxStartups: { start: 10, ratePercent: 30, full: 100 },
  clientAliveIntervalMs: 0,
  clientAliveCountMax: 3,
  tcpKeepAlive: true,
} satisfies Partial<ServerDraft>;
