/** The tables of docs/reference/log.md, made from src/audit; its test compares, and writes on request. */
import { events, fieldSummaries, type LogFields } from '../../src/audit/events.ts';
import { jsonFields } from '../../src/audit/json.ts';
import { logDifferences } from './log-differences.ts';

function fieldList(fields: readonly (keyof LogFields)[]): string {
  return fields.length === 0 ? '–' : fields.map((name) => `\`${name}\``).join(', ');
}

export function fieldTable(): string {
  const rows = [...Object.entries(jsonFields), ...Object.entries(fieldSummaries)];
  return [
    '| field | value |',
    '|---|---|',
    ...rows.map(([name, summary]) => `| \`${name}\` | ${summary} |`),
  ].join('\n');
}

export function eventTable(): string {
  return [
    '| event | when | fields besides |',
    '|---|---|---|',
    ...Object.entries(events).map(
      ([name, { summary, fields }]) => `| \`${name}\` | ${summary} | ${fieldList(fields)} |`,
    ),
  ].join('\n');
}

export function differenceTable(): string {
  return [
    '| line | in the log of | why |',
    '|---|---|---|',
    ...logDifferences.map(
      ({ only, shown, reason }) =>
        `| \`${shown}\` | ${only === 'both' ? 'both, not always alike' : only} | ${reason} |`,
    ),
  ].join('\n');
}
