/** The login of a request that forwards, once it is established. Runs in: monitor. */
import { CallFailure } from '../ssh/wire/peer.ts';
import type { Connection, Login } from './connection.ts';
import { loginOf } from './login.ts';

const administrativelyProhibited = 1;

/** Nothing is opened for a login whose pam_open_session has failed. */
export async function forwardingLogin(connection: Connection): Promise<Login> {
  const login = loginOf(connection);
  await login.established;
  if (login.hasNoSession) {
    throw new CallFailure(administrativelyProhibited, 'open failed');
  }
  return login;
}
