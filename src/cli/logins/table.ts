/**
 * A table for people, no wider than their terminal. What stands in a cell may come from anybody:
 * nothing in it moves the cursor, turns the direction or ends the line. Runs in: user.
 */

export interface Column {
  readonly title: string;
  /** Cut down to so many columns where the table is too wide; absent: never. */
  readonly leastWidth?: number;
}

const gap = 2;
const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

/** Controls, marks of direction, unassigned and private characters, and lone surrogates as numbers. */
export function cellText(text: string): string {
  return text.replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (found) => `\\u{${(found.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** Columns of a terminal. */
function widthOf(text: string): number {
  return [...text].reduce(
    (width, one) => width + (/[\p{Mn}\p{Me}]/u.test(one) ? 0 : wide.test(one) ? 2 : 1),
    0,
  );
}

function cutTo(text: string, width: number): string {
  if (widthOf(text) <= width) {
    return text;
  }
  let cut = '';
  for (const one of text) {
    if (widthOf(cut + one) > width - 1) {
      break;
    }
    cut += one;
  }
  return `${cut}…`;
}

/** The widest that may shrink gives first. */
function fitted(columns: readonly Column[], natural: readonly number[], most: number): number[] {
  const widths = [...natural];
  const total = (): number => widths.reduce((sum, width) => sum + width + gap, -gap);
  while (total() > most) {
    let widest = -1;
    for (const [index, { leastWidth }] of columns.entries()) {
      const width = widths[index] ?? 0;
      const mayShrink = leastWidth !== undefined && width > leastWidth;
      if (mayShrink && (widest < 0 || width > (widths[widest] ?? 0))) {
        widest = index;
      }
    }
    if (widest < 0) {
      return widths;
    }
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

/** `mostColumns`: of the terminal; undefined: nothing is cut. */
export function drawColumns(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  mostColumns: number | undefined,
): string {
  const cells = rows.map((row) => row.map(cellText));
  const natural = columns.map(({ title }, index) =>
    Math.max(widthOf(title), ...cells.map((row) => widthOf(row[index] ?? ''))),
  );
  const widths =
    mostColumns === undefined ? natural : fitted(columns, natural, Math.max(mostColumns, 1));
  const draw = (row: readonly string[]): string =>
    row
      .map((cell, index) => {
        const shown = cutTo(cell, widths[index] ?? 0);
        return shown + ' '.repeat(Math.max(0, (widths[index] ?? 0) - widthOf(shown)));
      })
      .join(' '.repeat(gap))
      .trimEnd();
  return `${[columns.map(({ title }) => title), ...cells].map(draw).join('\n')}\n`;
}

/** Of this process's stdout; undefined: it is no terminal. */
export function terminalColumns(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns : undefined;
}
