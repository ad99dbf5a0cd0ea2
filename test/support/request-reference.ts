/**
 * docs/reference/requests.md, made from the monitor's own table: the factories that
 * `process/request-rows.ts` calls are called here too, with nothing behind them. Runs in: test.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { DesktopHolds, DesktopRequestContext } from '../../src/broker/requests/context.ts';
import { desktopRequests, desktopRows } from '../../src/broker/requests/index.ts';
import {
  type ReauthenticationContext,
  reauthenticationRows,
} from '../../src/broker/requests/desktop-reauthenticate.ts';
import type { AnyRow } from '../../src/monitor/request-table.ts';

const tableFile = path.resolve(import.meta.dirname, '../../src/process/request-rows.ts');

/** Rows in the order of the table. Its `handle`s must not be called. */
export async function monitorRows(): Promise<readonly AnyRow[]> {
  const source = readFileSync(tableFile, 'utf8');
  const table = /return \[\n(.*?)\n {4}\];/s.exec(source)?.[1];
  if (table === undefined) {
    throw new Error('process/request-rows.ts: the table is not where it was');
  }
  const rows: AnyRow[] = [];
  for (const [, name] of table.matchAll(/^ {6}(\w+)\(/gm)) {
    const factory = await imported(source, name as string);
    rows.push(factory({}, {}));
  }
  const entries = table.split('\n').filter((line) => /^ {6}[\w.]/.test(line));
  if (!table.includes('...this.#desktopRows') || entries.length !== rows.length + 1) {
    throw new Error(
      `process/request-rows.ts: ${entries.length} entries, ${rows.length + 1} understood`,
    );
  }
  return [
    ...rows,
    ...desktopRows(desktopRequests({} as DesktopRequestContext), {} as DesktopHolds),
    ...reauthenticationRows({} as ReauthenticationContext),
  ];
}

async function imported(source: string, name: string): Promise<(...parts: object[]) => AnyRow> {
  const from = new RegExp(`import \\{[^}]*\\b${name}\\b[^}]*\\} from '(.*?)'`).exec(source)?.[1];
  if (from === undefined) {
    throw new Error(`process/request-rows.ts does not import ${name}`);
  }
  const module = (await import(path.resolve(path.dirname(tableFile), from))) as Record<
    string,
    (...parts: object[]) => AnyRow
  >;
  return module[name] as (...parts: object[]) => AnyRow;
}

const yes = (value: boolean) => (value ? 'yes' : '');

export async function requestReference(): Promise<string> {
  const rows = (await monitorRows()).map(
    ({ schema, phase, once, decides, serial }) =>
      `| ${schema.number} | ${schema.name} | ${phase.join(', ')} | ${yes(once)} | ${yes(decides)} | ${yes(serial)} | ${Object.keys(schema.request).join(', ')} |`,
  );
  return `# What a worker can ask the monitor for

Made from the monitor's table; a test compares. To write it anew:
\`UPDATE_REFERENCE=1 node --test test/unit/docs/reference/requests.test.ts\`

What is not here does not exist. A request outside its phase, a second one of those that are allowed
once, or a second one while the first of its kind is being answered ends the connection, and the log
says \`monitor: refused\`. A request for a connection that this worker was not given is answered with a
failure. So is one of which too many already wait (limits.md). Only rows that decide can make a connection authenticated; of those, one runs at a time.

| number | name | phase | once | decides | one at a time | fields |
|---|---|---|---|---|---|---|
${rows.join('\n')}
`;
}
