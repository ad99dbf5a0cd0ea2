/**
 * The one way in which a worker can make the monitor do something: a table of rows. A request that
 * is not in the table, not of this connection, or not allowed in its phase ends the connection and
 * is audited. Only rows with `decides` may turn a connection authenticated. Runs in: monitor.
 */
import { MonitorRefusal } from '../base/errors.ts';
import type { Call } from '../ssh/wire/call.ts';
import type { AnyFields, Field, Values } from '../ssh/wire/field.ts';
import { CallFailure, type Peer } from '../ssh/wire/peer.ts';
import type { Connection, Phase } from './connection.ts';

export interface Answer<R extends AnyFields> {
  readonly values: Values<R>;
  /** Owned by the receiver once sent. */
  readonly descriptors?: readonly number[];
}

export interface Row<Q extends AnyFields, R extends AnyFields> {
  readonly schema: Call<Q, R>;
  readonly phase: readonly Phase[];
  readonly once: boolean;
  readonly decides: boolean;
  /** At most one request of this kind at a time per connection. */
  readonly serial: boolean;
  handle(connection: Connection, values: Values<Q>): Promise<Answer<R>> | Answer<R>;
}
// biome-ignore lint/suspicious/noExplicitAny: rows of different schemas stand in one table
export type AnyRow = Row<any, any>;

export function row<Q extends AnyFields, R extends AnyFields>(definition: Row<Q, R>): Row<Q, R> {
  return definition;
}

/** What the table needs of the daemon. */
export interface RequestHost {
  /** Only connections that were given to this very worker. */
  connection(number: number): Connection | undefined;
  /** A request for a connection that is not this worker's, and was not a moment ago: audited. */
  stranger(number: number, name: string): void;
  /** Ends the connection because the worker overstepped. */
  refuse(connection: Connection, refusal: MonitorRefusal): void;
  /** Ends the connection because a handler broke: a fault of ours. */
  broke(connection: Connection, name: string, error: unknown): void;
}

/** errno EPERM */
const refusedCode = 1;
/** RFC 4254 §5.1 SSH_OPEN_RESOURCE_SHORTAGE: what waits for an answer is held in memory. */
const tooManyCode = 4;
const maxInFlight = 256;

/** Why a row may not run now; undefined: it may. */
export function objection(row: AnyRow, connection: Connection): string | undefined {
  const { name } = row.schema;
  if (connection.closed) {
    return `${name} on a connection that is over`;
  }
  if (!row.phase.includes(connection.phase)) {
    return `${name} in phase ${connection.phase}`;
  }
  if (row.once && connection.spent.has(name)) {
    return `${name} a second time`;
  }
  return undefined;
}

/** Registers every row on the link of one worker. */
export function serveRequests(peer: Peer, rows: readonly AnyRow[], host: RequestHost): void {
  const inFlight = new WeakMap<Connection, number>();
  const running = new WeakMap<Connection, Set<string>>();
  const runningOf = (connection: Connection): Set<string> => {
    const found = running.get(connection) ?? new Set<string>();
    running.set(connection, found);
    return found;
  };
  for (const row of rows) {
    const { name } = row.schema;
    // Authentication runs one request at a time, whatever its kind: two verdicts never race.
    const lane = row.decides ? 'authentication' : name;
    const schema: Call<{ readonly connection: Field<number> }, AnyFields> = row.schema;
    peer.onCall(schema, async (values) => {
      const connection = host.connection(values.connection);
      if (connection === undefined) {
        // There is nothing to end; one that ended a moment ago is no offence, anything else is.
        host.stranger(values.connection, name);
        throw new CallFailure(refusedCode, 'no such connection');
      }
      const lanes = runningOf(connection);
      const isBusy = row.serial && lanes.has(lane);
      const why = isBusy ? `${name} while ${lane} is being answered` : objection(row, connection);
      if (why !== undefined) {
        host.refuse(connection, new MonitorRefusal(why));
        throw new CallFailure(refusedCode, 'refused');
      }
      const count = inFlight.get(connection) ?? 0;
      if (count >= maxInFlight) {
        throw new CallFailure(tooManyCode, 'too many requests at once');
      }
      inFlight.set(connection, count + 1);
      connection.spent.add(name);
      if (row.serial) {
        lanes.add(lane);
      }
      try {
        const { values: reply, descriptors = [] } = await row.handle(connection, values);
        return { values: reply, descriptors };
      } catch (error) {
        throw failureOf(error, connection, name, host);
      } finally {
        inFlight.set(connection, (inFlight.get(connection) ?? 1) - 1);
        if (row.serial) {
          lanes.delete(lane);
        }
      }
    });
  }
}

/** What the worker is told; a refusal and a fault of ours end the connection besides. */
function failureOf(
  error: unknown,
  connection: Connection,
  name: string,
  host: RequestHost,
): CallFailure {
  if (error instanceof CallFailure) {
    return error;
  }
  if (error instanceof MonitorRefusal) {
    host.refuse(connection, error);
  } else if (!connection.closed) {
    host.broke(connection, name, error);
  }
  return new CallFailure(refusedCode, 'refused');
}
