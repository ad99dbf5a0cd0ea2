/**
 * `session-pty`: keeps what the pty-req asked for until the session starts (RFC 4254 §6.2). Asked
 * again before that it changes the size: a window-change in front of the command.
 */
import { loginOf, sessionOf } from '../login.ts';
import { SessionPty } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';

const maxTermBytes = 256;
const maxModesBytes = 2048;

export function sessionPty(): AnyRow {
  return row({
    schema: SessionPty,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    handle(connection, values) {
      const session = sessionOf(connection, values.session);
      const allowed =
        loginOf(connection).grant.permitTty &&
        session.startedAs === '' &&
        values.term.length <= maxTermBytes &&
        !values.term.includes(0) &&
        values.modes.length <= maxModesBytes;
      if (allowed) {
        const { term, columns, rows, widthPixels, heightPixels, modes } = values;
        session.terminal = {
          term: session.terminal?.term ?? Buffer.from(term),
          columns,
          rows,
          widthPixels,
          heightPixels,
          modes: session.terminal?.modes ?? Buffer.from(modes),
        };
      }
      return { values: { allowed } };
    },
  });
}
