/**
 * The desktops of the user as a table or as JSON. Runs in: user.
 */
import type { ListedDesktop } from './dialogue.ts';
import { printableLine } from './printable.ts';

export function formatJson(desktops: readonly ListedDesktop[]): string {
  return `${JSON.stringify(desktops)}\n`;
}

export function formatTable(desktops: readonly ListedDesktop[]): string {
  const rows = [
    ['NAME', 'STATE', 'GEOMETRY', 'DISPLAY', 'ID'],
    ...desktops.map((desktop) => [
      printableLine(desktop.name),
      printableLine(desktop.state),
      desktop.geometry,
      `:${desktop.display}`,
      desktop.id,
    ]),
  ];
  const widths = rows[0]?.map((_title, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => cell.padEnd(widths?.[at] ?? 0))
      .join('  ')
      .trimEnd();
  return `${rows.map(line).join('\n')}\n`;
}
