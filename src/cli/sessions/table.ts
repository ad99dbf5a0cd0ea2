/** Desktops as a table for people. Runs in: user. */
import type { ListedDesktop, PastDesktop } from '../../broker/control.ts';

/** `2026-11-21 10:28:21Z`: UTC, as everywhere. */
function shortTime(iso: string): string {
  return iso.replace('T', ' ').replace(/\.\d+Z$/, 'Z');
}

const common: readonly (readonly [string, (desktop: ListedDesktop) => string])[] = [
  ['ID', ({ id }) => id],
  ['NAME', ({ name }) => name],
  ['OWNER', ({ owner }) => owner],
  ['STATE', ({ state }) => state],
  ['ENGINE', ({ engine }) => engine],
  ['DISPLAY', ({ display }) => `:${display}`],
  ['GEOMETRY', ({ geometry, depth }) => `${geometry}x${depth}`],
  ['STARTED', ({ startedAt }) => shortTime(startedAt)],
  ['LAST USED', ({ lastUsedAt }) => shortTime(lastUsedAt)],
];

/** The reason may hold lines of a program's log: it stays one line without control characters. */
function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
}

export function drawTable(
  desktops: readonly ListedDesktop[] | readonly PastDesktop[],
  isHistory: boolean,
): string {
  const titles = [
    ...common.map(([title]) => title),
    ...(isHistory ? ['ENDED', 'REASON'] : ['VIEWERS']),
  ];
  const rows = desktops.map((desktop) => [
    ...common.map(([, cell]) => cell(desktop)),
    ...('endedAt' in desktop
      ? [shortTime(desktop.endedAt), oneLine(desktop.reason)]
      : [String(desktop.viewers)]),
  ]);
  const widths = titles.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => [...(row[column] ?? '')].length)),
  );
  const draw = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return `${[titles, ...rows].map(draw).join('\n')}\n`;
}
