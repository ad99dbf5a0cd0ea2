/**
 * A login whose forced command is the subsystem `rfb` has that one desktop and no more: a worker
 * that was taken over may not ask for what the subsystem itself never asks for. Runs in: monitor.
 */
import { MonitorRefusal } from '../base/errors.ts';
import type { Connection } from '../monitor/connection.ts';
import type { AnyRow } from '../monitor/request-table.ts';
import { DesktopAttach, DesktopFind } from './link.ts';

/** The reply of `desktop-find`, as far as it matters here. */
interface Found {
  readonly desktop: { readonly id: string };
}

function isOfTheSubsystem(connection: Connection, name: string, values: unknown): boolean {
  const asked = values as { readonly which?: string; readonly create?: number; id?: string };
  return name === DesktopFind.name
    ? asked.which === '' && asked.create === 1
    : name === DesktopAttach.name && connection.forcedDesktop === asked.id;
}

/** The outermost check of a desktop row. */
export function underForcedCommand(row: AnyRow): AnyRow {
  const { name } = row.schema;
  return {
    ...row,
    handle: async (connection, values) => {
      const forced = connection.login?.grant.forcedCommand;
      if (forced !== 'rfb') {
        return row.handle(connection, values);
      }
      if (!isOfTheSubsystem(connection, name, values)) {
        throw new MonitorRefusal(`${name} under the forced command ${forced}`);
      }
      const answer = await row.handle(connection, values);
      if (name === DesktopFind.name) {
        connection.forcedDesktop = (answer.values as unknown as Found).desktop.id;
      }
      return answer;
    },
  };
}
