/** What request handlers ask of a connection, and what it means when it is not there. */
import { MonitorRefusal } from '../base/errors.ts';
import type { Connection, Login, Session } from './connection.ts';

export function loginOf(connection: Connection): Login {
  if (connection.login === undefined) {
    throw new MonitorRefusal('a request of a login before there is one');
  }
  return connection.login;
}

/** A worker that names a session it was not given oversteps. */
export function sessionOf(connection: Connection, number: number): Session {
  const session = connection.sessions.get(number);
  if (session === undefined || session.isClosed) {
    throw new MonitorRefusal(`no session ${number} on this connection`);
  }
  return session;
}
