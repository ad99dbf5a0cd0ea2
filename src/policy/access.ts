/**
 * Who may log in, judged before authentication (sshd's order: account, shell, DenyUsers,
 * AllowUsers, DenyGroups, AllowGroups), and root's
 * permission, judged after it per method. The details are sshd's log lines; the peer never sees
 * them. Pure. Runs in: monitor.
 */
import { matchesPattern, matchUserPattern } from '../../keys/pattern.ts';
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

function isDeniedUser(patterns: readonly string[], candidate: LoginCandidate): Verdict {
  const { user, remoteAddress, remoteHost = remoteAddress } = candidate;
  // A pattern that cannot be understood may have meant this user.
  const isListed = patterns.some(
    (pattern) => matchUserPattern(user, remoteHost, remoteAddress, pattern) !== 'none',
  );
  return isListed
    ? refused(
        'deny-users',
        `User ${shown(user)} from ${shown(remoteHost)} not allowed because listed in DenyUsers`,
      )
    : allowed;
}

function isInGroup(groups: readonly string[], patterns: readonly string[]): boolean {
  return groups.some((group) => patterns.some((pattern) => matchesPattern(group, pattern)));
}

function mayByGroups(
  config: Pick<ServerConfig, 'allowGroups' | 'denyGroups'>,
  { user, groups, remoteAddress, remoteHost = remoteAddress }: LoginCandidate,
): Verdict {
  const who = `User ${shown(user)} from ${shown(remoteHost)} not allowed because`;
  if (isInGroup(groups, config.denyGroups)) {
    return refused('deny-groups', `${who} a group is listed in DenyGroups`);
  }
  if (config.allowGroups.length > 0 && !isInGroup(groups, config.allowGroups)) {
    return refused('allow-groups', `${who} none of user's groups are listed in AllowGroups`);
  }
  return allowed;
}

export function mayLogin(
  config: Pick<
    ServerConfig,
    'allowUsers' | 'denyUsers' | 'allowGroups' | 'denyGroups' | 'chrootDirectory'
  >,
  candidate: LoginCandidate,
): Verdict {
  if (candidate.isLocked) {
    return refused('locked', `User ${shown(candidate.user)} not allowed because account is locked`);
  }
  for (const verdict of [
    // The shell of a login in a ChrootDirectory is the one inside.
    config.chrootDirectory === undefined ? mayUseShell(candidate) : allowed,
    isDeniedUser(config.denyUsers, candidate),
    isAllowedUser(config.allowUsers, candidate),
  ]) {
    if (!verdict.allowed) {
      return verdict;
    }
  }
  return mayByGroups(config, candidate);
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
