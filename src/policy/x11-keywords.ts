/**
 * The keywords of sshd_config(5) about X11, as rows for server-keywords.ts. Pure.
 * Runs in: monitor, launcher.
 */
import type { ServerDraft } from './server-draft.ts';
import { flag, row } from './server-row.ts';
import { absolutePath, integer, single } from './values.ts';

export const x11DisplayOffsetRow = row({
  name: 'X11DisplayOffset',
  argument: 'number',
  summary: 'The first display number that X11 forwarding tries.',
  defaultText: '10',
  field: 'x11DisplayOffset',
  parse: integer(0),
  dump: (config) => String(config.x11DisplayOffset),
});

export const x11ForwardingRow = flag(
  'X11Forwarding',
  'x11Forwarding',
  'no',
  'Programs of a session may show their windows on the X server of the client.',
);

export const x11UseLocalhostRow = flag(
  'X11UseLocalhost',
  'x11UseLocalhost',
  'yes',
  'Forwarded displays listen on the loopback address only.',
);

export const xauthLocationRow = row({
  name: 'XAuthLocation',
  argument: 'file | none',
  summary: 'The xauth program; without it there is no X11 forwarding.',
  defaultText: '/usr/bin/xauth',
  field: 'xauthLocation',
  parse: (words, place) => absolutePath(single(words), place),
  dump: (config) => config.xauthLocation ?? 'none',
});

export const x11Defaults = {
  x11DisplayOffset: 10,
  x11Forwarding: false,
  x11UseLocalhost: true,
  xauthLocation: '/usr/bin/xauth',
} satisfies Partial<ServerDraft>;
