/**
 * `x11-forward`: a display of the client for one session (RFC 4254 §6.3.1). The leader binds it as the
 * user; protocol and cookie are kept for the session's start. Runs in: monitor.
 */
import { hostname } from 'node:os';
import { CallFailure } from '../../ssh/wire/peer.ts';
import type { X11Display } from '../connection.ts';
import { X11Forward } from '../link.ts';
import { loginOf, sessionOf } from '../login.ts';
import { type AnyRow, row } from '../request-table.ts';

const familyNumbers = { any: 0, inet: 4, inet6: 6 } as const;
/** Names of the authorizations that X knows have 18 and 19 characters. */
const maxProtocolCharacters = 64;
/** In hexadecimal digits: those of X are 16 bytes and 24. */
const maxCookieDigits = 256;

/**
 * Both are lines of xauth's input later on (INCIDENTS: a newline in one was a command of xauth).
 * sshd takes the same characters in the name, and more than hexadecimal digits in the cookie, which
 * xauth would refuse.
 */
export function isAuthorization(protocol: Buffer, cookie: Buffer): boolean {
  return (
    protocol.length <= maxProtocolCharacters &&
    /^[A-Za-z0-9.:/_-]+$/.test(protocol.toString('latin1')) &&
    cookie.length <= maxCookieDigits &&
    /^(?:[0-9A-Fa-f]{2})+$/.test(cookie.toString('latin1'))
  );
}

const refused = { values: { allowed: false } };

export function x11Forward(): AnyRow {
  return row({
    schema: X11Forward,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    async handle(connection, values) {
      const login = loginOf(connection);
      const { config } = login;
      const session = sessionOf(connection, values.session);
      if (session.x11 !== undefined) {
        connection.log.error(
          `session_x11_req: session ${session.number}: x11 forwarding already active`,
        );
        return refused;
      }
      if (!isAuthorization(values.authProtocol, values.authData)) {
        connection.log.error('Invalid X11 forwarding data');
        return refused;
      }
      if (session.startedAs !== '' || !login.grant.permitX11Forwarding) {
        connection.log.debug(
          'X11 forwarding disabled by key options or in server configuration file.',
        );
        return refused;
      }
      if (config.xauthLocation === undefined) {
        connection.log.debug('No xauth program; cannot forward X11.');
        return refused;
      }
      // From here on a second one of the same session is refused, whatever is waited for.
      session.x11 = 'opening';
      try {
        await login.established;
        if (login.hasNoSession) {
          return refused;
        }
        const { display, descriptors } = await login.leader.x11Listen({
          offset: config.x11DisplayOffset,
          loopbackOnly: config.x11UseLocalhost,
          family: familyNumbers[config.addressFamily],
          keepsNumber: !values.singleConnection,
          xauth: config.xauthLocation,
        });
        session.x11 = displayOf(display, config.x11UseLocalhost, values);
        return { values: { allowed: true }, descriptors };
      } catch (error) {
        if (!(error instanceof CallFailure)) {
          throw error;
        }
        connection.log.debug(`X11 forwarding: ${error.text}`);
        return refused;
      } finally {
        if (session.x11 === 'opening') {
          session.x11 = undefined;
        }
        // The session may have ended while the display was made; the worker closes what it gets.
        connection.forget(session);
      }
    },
  });
}

function displayOf(
  display: number,
  isLocal: boolean,
  values: { readonly authProtocol: Buffer; readonly authData: Buffer; readonly screen: number },
): X11Display {
  const suffix = `:${display}.${values.screen}`;
  return {
    display,
    name: `${isLocal ? 'localhost' : hostname()}${suffix}`,
    // The entry of a local display in an authority file has the family of Unix sockets.
    authorityName: `${isLocal ? 'unix' : hostname()}${suffix}`,
    protocol: values.authProtocol.toString('latin1'),
    cookie: values.authData.toString('latin1'),
  };
}
