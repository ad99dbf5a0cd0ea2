/**
 * Global requests that every connection understands (RFC 4254 §4). What is not in the table, such as
 * keepalive@openssh.com, is answered with REQUEST_FAILURE: that is the answer the asker waits for.
 * Runs in: worker.
 */
import type { Reader } from '../wire/reader.ts';

/** false: REQUEST_FAILURE; true: REQUEST_SUCCESS; bytes: REQUEST_SUCCESS with that data. */
export type GlobalAnswer = boolean | Buffer;

/** What a handler may do to the connection. */
export interface GlobalRequestContext {
  refuseFurtherSessions(): void;
}

/** `fields`: the request-specific part; read it before anything is awaited. */
export type GlobalRequestHandler = (
  fields: Reader,
  connection: GlobalRequestContext,
) => GlobalAnswer | Promise<GlobalAnswer>;

export const globalRequests: ReadonlyMap<string, GlobalRequestHandler> = new Map([
  [
    'no-more-sessions@openssh.com',
    (fields: Reader, connection: GlobalRequestContext) => {
      fields.end();
      connection.refuseFurtherSessions();
      return true;
    },
  ],
]);
