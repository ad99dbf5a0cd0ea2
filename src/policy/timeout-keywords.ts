/**
 * ChannelTimeout and UnusedConnectionTimeout of sshd_config(5): what ends when nothing happens any
 * more, as rows for server-keywords.ts. Pure. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import type { ChannelTimeout } from './config.ts';
import type { ServerDraft } from './server-draft.ts';
import { row } from './server-row.ts';
import { seconds, several, single } from './values.ts';
import type { Words } from './words.ts';

const maxTimeouts = 256;
const maxPatternCharacters = 256;

function channelTimeouts(words: Words): readonly ChannelTimeout[] {
  const list = several(words);
  if (list[0]?.toLowerCase() === 'none') {
    single(words);
    return [];
  }
  if (list.length > maxTimeouts) {
    throw new ConfigError(`more than ${maxTimeouts} of them`);
  }
  return list.map((text) => {
    const [, pattern, time] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    if (pattern === undefined || time === undefined || pattern.length > maxPatternCharacters) {
      throw new ConfigError(`invalid channel timeout ${text}`);
    }
    return { text, pattern, seconds: seconds({ ...words, words: [time] }) };
  });
}

export const channelTimeoutRow = row({
  name: 'ChannelTimeout',
  argument: 'type=time ... | none',
  summary:
    'Channels on which nothing came or went for so long are closed. The first type that matches counts; it may have `*` and `?`. See docs/guide/limits.md.',
  defaultText: 'none',
  field: 'channelTimeouts',
  parse: channelTimeouts,
  // Debian's 9.2 prints nothing where there are none.
  dump: ({ channelTimeouts: list }) =>
    list.length === 0 ? [] : list.map(({ text }) => text).join(' '),
});

export const unusedConnectionTimeoutRow = row({
  name: 'UnusedConnectionTimeout',
  argument: 'time | none',
  summary: 'A connection that has had no channel for so long is ended.',
  defaultText: 'none',
  field: 'unusedConnectionTimeoutSeconds',
  parse: (words) => (single(words).toLowerCase() === 'none' ? 0 : seconds(words)),
  dump: ({ unusedConnectionTimeoutSeconds: time }) => (time === 0 ? 'none' : String(time)),
});

export const timeoutDefaults = {
  channelTimeouts: [],
  unusedConnectionTimeoutSeconds: 0,
} satisfies Partial<ServerDraft>;
