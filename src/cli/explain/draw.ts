/** An explained configuration as a table for people, as wide as their terminal. Runs in: user. */
import type { ExplainedLine } from '../../policy/explain.ts';
import { printableLine } from '../connect/printable.ts';

/** Below this nothing is to be read in columns. */
const leastWidth = 40;
const verdictWidth = 'not supported'.length;

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/** In lines of `width`; a word that is longer is cut into pieces. */
function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = '';
    }
    let rest = line === '' ? word : `${line} ${word}`;
    while (rest.length > width) {
      lines.push(rest.slice(0, width));
      rest = rest.slice(width);
    }
    line = rest;
  }
  return line === '' ? lines : [...lines, line];
}

/** The file once, then its lines: number, verdict, text, and below it why. */
export function drawLines(lines: readonly ExplainedLine[], columns: number): string {
  const width = Math.max(columns, leastWidth);
  const numberWidth = Math.max(4, ...lines.map(({ line }) => String(line).length));
  const indent = numberWidth + 2 + verdictWidth + 2;
  const drawn: string[] = [];
  let file: string | undefined;
  for (const { line, verdict, keyword, text, note, ...where } of lines) {
    if (where.file !== file) {
      file = where.file;
      drawn.push(...(drawn.length === 0 ? [] : ['']), printableLine(file));
    }
    const number = String(line).padStart(numberWidth);
    const said = cut(printableLine(`${keyword} ${text}`), width - indent);
    drawn.push(`${number}  ${verdict.padEnd(verdictWidth)}  ${said}`);
    if (note !== '') {
      const why = wrapped(printableLine(note), width - indent - 2);
      drawn.push(...why.map((part) => `${' '.repeat(indent + 2)}${part}`));
    }
  }
  return drawn.map((line) => `${line}\n`).join('');
}

export interface DrawnValue {
  readonly keyword: string;
  readonly value: string;
  readonly from: string;
}

/** What is in force, of the keywords that lines name. */
export function drawValues(values: readonly DrawnValue[], columns: number): string {
  if (values.length === 0) {
    return '';
  }
  const width = Math.max(columns, leastWidth);
  const keywordWidth = Math.max(...values.map(({ keyword }) => keyword.length));
  const rest = Math.max(8, width - keywordWidth - 2);
  const drawn = values.flatMap(({ keyword, value, from }) => [
    `${keyword.padEnd(keywordWidth)}  ${cut(printableLine(value), rest)}`,
    ...wrapped(`from ${printableLine(from)}`, rest - 2).map(
      (part) => `${' '.repeat(keywordWidth + 4)}${part}`,
    ),
  ]);
  return `\nIn force\n${drawn.map((line) => `${line}\n`).join('')}`;
}
