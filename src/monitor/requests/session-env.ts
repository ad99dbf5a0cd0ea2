/** `session-env`: a variable of the client, if AcceptEnv names it (RFC 4254 §6.4). */
import { acceptsEnvironmentName } from '../../policy/accept-env.ts';
import { loginOf, sessionOf } from '../login.ts';
import { SessionEnv } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';

const maxVariables = 128;
const maxEnvironmentBytes = 64 * 1024;

export function sessionEnv(): AnyRow {
  return row({
    schema: SessionEnv,
    phase: ['postauth'],
    once: false,
    decides: false,
    serial: false,
    handle(connection, values) {
      const session = sessionOf(connection, values.session);
      const name = values.name.toString('latin1');
      const bytes = values.name.length + values.value.length;
      const allowed =
        session.startedAs === '' &&
        session.environment.length < maxVariables &&
        session.environmentBytes + bytes <= maxEnvironmentBytes &&
        !values.value.includes(0) &&
        acceptsEnvironmentName(loginOf(connection).config, name);
      if (allowed) {
        session.environment.push([name, Buffer.from(values.value)]);
        session.environmentBytes += bytes;
      }
      return { values: { allowed } };
    },
  });
}
