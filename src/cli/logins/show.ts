/** Logins, those that last and those that ended, as tables. Runs in: user. */
import type { ListedLogin, ListedOpen, PastLogin } from '../../broker/control-logins.ts';
import { type Column, drawColumns } from './table.ts';

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** `2026-11-21 10:28:21Z`: UTC, as everywhere. */
function shortTime(iso: string): string {
  return iso.replace('T', ' ').replace(/\.\d+Z$/, 'Z');
}

/** `5s`, `12m`, `3h04m`, `2d03h`. */
export function shortDuration(ms: number): string {
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  if (ms < minuteMs) {
    return `${Math.max(0, Math.floor(ms / secondMs))}s`;
  }
  if (ms < hourMs) {
    return `${Math.floor(ms / minuteMs)}m`;
  }
  return ms < dayMs
    ? `${Math.floor(ms / hourMs)}h${two((ms % hourMs) / minuteMs)}m`
    : `${Math.floor(ms / dayMs)}d${two((ms % dayMs) / hourMs)}h`;
}

function countOf(text: string, count: number): string {
  return count === 1 ? text : `${text} ×${count}`;
}

function openText(open: ListedOpen | null): string {
  if (open === null) {
    return '?';
  }
  const desktops = new Map<string, number>();
  for (const { id, name } of open.desktops) {
    const shown = `desktop ${name === '' ? id : name}`;
    desktops.set(shown, (desktops.get(shown) ?? 0) + 1);
  }
  const parts = [
    ...open.sessions.map(({ kind, terminal }) => (terminal === '' ? kind : `${terminal} ${kind}`)),
    ...[...desktops].map(([shown, count]) => countOf(shown, count)),
    ...(open.listeners === 0 ? [] : [countOf('-R', open.listeners)]),
    ...(open.agent ? ['agent'] : []),
    ...(open.x11 === 0 ? [] : [countOf('X11', open.x11)]),
  ];
  return parts.length === 0 ? 'nothing' : parts.join(', ');
}

const whoColumns: readonly Column[] = [
  { title: 'USER', leastWidth: 8 },
  { title: 'FROM', leastWidth: 15 },
  { title: 'SINCE' },
  { title: 'IDLE' },
  { title: 'FACTORS', leastWidth: 9 },
  { title: 'OPEN', leastWidth: 10 },
];

export function drawWho(logins: readonly ListedLogin[], mostColumns: number | undefined): string {
  const rows = logins.map((login) => [
    login.user,
    login.address === '' ? '?' : login.address,
    shortTime(login.since),
    login.idleMs === null ? '-' : shortDuration(login.idleMs),
    login.via === 'sshd' ? 'by another sshd' : login.factors.join(', '),
    `${openText(login.open)}${login.draining ? ' [draining]' : ''}`,
  ]);
  return drawColumns(whoColumns, rows, mostColumns);
}

const lastColumns: readonly Column[] = [
  { title: 'USER', leastWidth: 8 },
  { title: 'TTY' },
  { title: 'FROM', leastWidth: 15 },
  { title: 'LOGIN' },
  { title: 'END' },
  { title: 'TIME' },
  { title: 'EXIT' },
  { title: 'WHY', leastWidth: 6 },
  { title: 'FACTORS', leastWidth: 9 },
];

export function drawLast(logins: readonly PastLogin[], mostColumns: number | undefined): string {
  const rows = logins.map(({ startedAt, endedAt, ...login }) => [
    login.user,
    login.terminal === '' ? '-' : login.terminal,
    login.address,
    shortTime(startedAt),
    endedAt === null ? 'gone' : shortTime(endedAt),
    endedAt === null ? '?' : shortDuration(Date.parse(endedAt) - Date.parse(startedAt)),
    login.exit === '' ? '-' : login.exit,
    login.why,
    login.factors.join(', '),
  ]);
  return drawColumns(lastColumns, rows, mostColumns);
}
