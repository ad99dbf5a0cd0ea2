/**
 * What a login's leader that was killed could no longer remove: the socket of the forwarded agent and
 * the entries of forwarded displays. Another leader has the user's own programs do it; nothing is
 * touched as root. Runs in: monitor.
 */
import type { LeaderClient } from '../../pam/leader-client.ts';
import { stdio } from '../../pam/leader-protocol.ts';
import { closeDescriptor } from '../base/socket.native.ts';
import type { Connection } from '../monitor/connection.ts';

export interface LeaderLeftovers {
  readonly user: string;
  readonly home: string;
  /** Empty: none was forwarded. */
  readonly agentSocket: string;
  /** Empty: nothing was entered. */
  readonly xauth: string;
  readonly authorityNames: readonly string[];
}

/** To be asked before the connection forgets its sessions. undefined: there is nothing. */
export function leftoversOf({
  login,
  agentSocket = '',
  sessions,
}: Pick<Connection, 'login' | 'agentSocket' | 'sessions'>): LeaderLeftovers | undefined {
  // What was made in another root has the paths of that root.
  if (login === undefined || login.config.chrootDirectory !== undefined) {
    return undefined;
  }
  const displays = [...sessions.values()].flatMap(({ x11 }) =>
    x11 === undefined || x11 === 'opening' ? [] : [x11.authorityName],
  );
  const xauth = login.config.xauthLocation ?? '';
  const authorityNames = xauth === '' ? [] : displays;
  if (agentSocket === '' && authorityNames.length === 0) {
    return undefined;
  }
  const { user, home } = login.account;
  return { user, home, agentSocket, xauth, authorityNames };
}

/** `$1`: the socket, `$2`: its directory, `$3`: xauth; the rest: what it calls the displays. */
const script = `
[ -z "$1" ] || rm -f -- "$1" && [ -z "$2" ] || rmdir -- "$2"
xauth=$3
shift 3
for name; do "$xauth" -q remove "$name"; done
`;
const patienceMs = 10_000;

function commandOf({ agentSocket, xauth, authorityNames }: LeaderLeftovers): readonly string[] {
  const directory = agentSocket.slice(0, Math.max(agentSocket.lastIndexOf('/'), 0));
  return ['sh', '-c', script, 'sh', agentSocket, directory, xauth, ...authorityNames];
}

/** `leader` is a fresh one; it ends here. Rejects when nobody could do it. */
export async function removeLeftovers(leader: LeaderClient, left: LeaderLeftovers): Promise<void> {
  const ended = Promise.withResolvers<void>();
  const tooLong = setTimeout(() => ended.reject(new Error('it takes too long')), patienceMs);
  leader.onExited = () => ended.resolve();
  leader.onGone = () => ended.reject(new Error('its leader is gone, too'));
  ended.promise.catch(() => {}); // it may come before it is waited for
  try {
    // Neither PAM nor a session: it is no login.
    const { user } = left;
    const origin = { rhost: '', tty: '', connection: '', loggedAs: 'sshd' };
    await leader.begin({ kind: 0, user, service: '', ...origin });
    await leader.establish('');
    const { descriptors } = await leader.spawn({
      file: '/bin/sh',
      arguments: commandOf(left).map((word) => Buffer.from(word)),
      environment: [`HOME=${left.home}`, `USER=${user}`, 'PATH=/usr/bin:/bin'].map((line) =>
        Buffer.from(line),
      ),
      directory: '/',
      stdio: stdio.pipes,
      columns: 0,
      rows: 0,
      widthPixels: 0,
      heightPixels: 0,
      modes: Buffer.alloc(0),
      reportDescriptor: false,
      essential: false,
      stderrText: Buffer.alloc(0),
    });
    descriptors.forEach(closeDescriptor);
    await ended.promise;
  } finally {
    clearTimeout(tooLong);
    leader.onGone = () => {};
    leader.drop();
  }
}
