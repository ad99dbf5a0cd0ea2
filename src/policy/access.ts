/**
 * Who may log in, judged before authentication (sshd's order: account, shell, AllowUsers), and root's
 * permission, judged after it per method. The details are sshd's log lines; the peer never sees
 * them. Pure. Runs in: monitor.
 */
import { matchUserPattern } from '../../keys/pattern.ts';
import type { ServerConfig } from './config.ts';
import { allowed, refused, type Verdict } from './verdict.ts';

export interface LoginCandidate {
  readonly user: string;
  readonly groups: readonly string[];
  /** Without IPv4-mapped form. */
  readonly remoteAddress: string;
  /** The peer's name where it was looked up; without UseDNS the address. */
  readonly remoteHost?: string;
  readonly shell: string;
  /** 0 executable, 1 missing, 2 not executable. */
  readonly shellState: number;
  /** Only looked at without PAM; the caller says so. */
  readonly isLocked: boolean;
}

/** sshd prints at most so many characters of a name. */
function shown(text: string): string {
  return text.slice(0, 100);
}

function mayUseShell(candidate: LoginCandidate): Verdict {
  const { user, shell, shellState } = candidate;
  if (shellState === 0) {
    return allowed;
  }
  const what = shellState === 1 ? 'does not exist' : 'is not executable';
  return refused('shell', `User ${shown(user)} not allowed because shell ${shown(shell)} ${what}`);
}

function isAllowedUser(patterns: readonly string[], candidate: LoginCandidate): Verdict {
  const { user, remoteAddress, remoteHost = remoteAddress } = candidate;
  const isListed = patterns.some(
    (pattern) => matchUserPattern(user, remoteHost, remoteAddress, pattern) === 'match',
  );
  return isListed || patterns.length === 0
    ? allowed
    : refused(
        'allow-users',
        `User ${shown(user)} from ${shown(remoteHost)} not allowed because not listed in AllowUsers`,
      );
}

export function mayLogin(
  config: Pick<ServerConfig, 'allowUsers'>,
  candidate: LoginCandidate,
): Verdict {
  if (candidate.isLocked) {
    return refused('locked', `User ${shown(candidate.user)} not allowed because account is locked`);
  }
  const byShell = mayUseShell(candidate);
  return byShell.allowed ? isAllowedUser(config.allowUsers, candidate) : byShell;
}

/**
 * For uid 0 after `method` succeeded. `hasForcedCommand`: the key (or certificate) has a command;
 * ForceCommand does not count here, as in sshd.
 */
export function permitRootLogin(
  config: Pick<ServerConfig, 'permitRootLogin'>,
  method: string,
  hasForcedCommand: boolean,
): Verdict {
  const rule = config.permitRootLogin;
  const isAllowed =
    rule === 'yes' ||
    (rule === 'prohibit-password' && (method === 'publickey' || method === 'gssapi-with-mic')) ||
    (rule === 'forced-commands-only' && hasForcedCommand);
  return isAllowed
    ? allowed
    : refused('permit-root-login', `PermitRootLogin ${rule} does not allow ${method}`);
}

/** sshd's line; `from` is `IP port N`. */
export function rootRefusalLine(from: string): string {
  return `ROOT LOGIN REFUSED FROM ${from}`;
}
