/**
 * What runs in front of a session's program (sshd(8), SSHRC): ~/.ssh/rc, else /etc/ssh/sshrc, else
 * xauth with the cookie of the forwarded display. The cookie is on stdin, never an argument. Pure.
 * Runs in: monitor.
 */
import type { Preparation, X11UndoOrder } from '../../pam/leader-client.ts';
import type { Login, X11Display } from './connection.ts';
import type { SessionKind } from './session-plan.ts';

const systemRc = '/etc/ssh/sshrc';
const shell = '/bin/sh';

function words(...list: readonly string[]): readonly Buffer[] {
  return list.map((word) => Buffer.from(word));
}

/** For the user's shell; a home is what the administrator has made it. */
function quoted(path: string): string {
  return /^[A-Za-z0-9/._-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

export function preparationsFor(
  login: Pick<Login, 'account' | 'grant' | 'mustChangePassword'>,
  kind: SessionKind,
  x11: X11Display | undefined,
  xauth: string | undefined,
): readonly Preparation[] {
  const { account, grant } = login;
  if (login.mustChangePassword) {
    return []; // passwd and nothing else
  }
  const input = Buffer.from(x11 === undefined ? '' : `${x11.protocol} ${x11.cookie}\n`);
  const found: Preparation[] = [];
  const isForcedByAdmin = grant.forcedCommandSource === 'config';
  if (kind !== 'subsystem' && !isForcedByAdmin && grant.permitUserRc) {
    const rc = `${account.home}/.ssh/rc`;
    const userShell = account.shell === '' ? shell : account.shell;
    const command = `${shell} ${quoted(rc)}`;
    found.push({
      exists: rc,
      file: userShell,
      arguments: words(userShell, '-c', command),
      input,
    });
  }
  found.push({ exists: systemRc, file: shell, arguments: words(shell, systemRc), input });
  if (x11 !== undefined && xauth !== undefined) {
    const { authorityName, protocol, cookie } = x11;
    found.push({
      exists: '',
      file: xauth,
      arguments: words(xauth, '-q', '-'),
      input: Buffer.from(`remove ${authorityName}\nadd ${authorityName} ${protocol} ${cookie}\n`),
    });
  }
  return found;
}

/** What takes the display's entry out of the authority file again. */
export function undoFor(
  x11: X11Display,
  xauth: string,
  environment: readonly Buffer[],
): X11UndoOrder {
  return {
    display: x11.display,
    file: xauth,
    arguments: words(xauth, '-q', '-'),
    input: Buffer.from(`remove ${x11.authorityName}\n`),
    environment,
  };
}
