/**
 * Which environment variables of a client enter its session: AcceptEnv's patterns, within names that
 * no pattern can open. sshd takes whatever a pattern says; here a wide pattern cannot hand the
 * dynamic linker or an interpreter's start-up to a client, because that would undo ForceCommand,
 * ChrootDirectory and the account's shell (CVE-2015-8325, CVE-2014-2532). Runs in: monitor, launcher.
 */
import { matchesPattern } from '../../keys/pattern.ts';

const maxNameCharacters = 255;

/** Set by us or by PAM, or read by a linker, shell or interpreter before its first own line. */
const neverTaken: ReadonlySet<string> = new Set([
  'PATH',
  'HOME',
  'SHELL',
  'USER',
  'LOGNAME',
  'MAIL',
  'IFS',
  'ENV',
  'BASH_ENV',
  'SHELLOPTS',
  'BASHOPTS',
  'PS4',
  'ZDOTDIR',
  'NODE_OPTIONS',
  'NODE_PATH',
  'PERL5LIB',
  'PERL5OPT',
  'PERLLIB',
  'PYTHONHOME',
  'PYTHONINSPECT',
  'PYTHONPATH',
  'PYTHONSTARTUP',
  'RUBYLIB',
  'RUBYOPT',
  'JAVA_TOOL_OPTIONS',
  'GCONV_PATH',
  'GETCONF_DIR',
  'HOSTALIASES',
  'LOCALDOMAIN',
  'LOCPATH',
  'MALLOC_TRACE',
  'NIS_PATH',
  'NLSPATH',
  'RESOLV_HOST_CONF',
  'RES_OPTIONS',
  'TMPDIR',
  'TZDIR',
  'KRB5CCNAME',
  'KRB5_CONFIG',
  'SSH_AUTH_SOCK',
  'SSH_CLIENT',
  'SSH_CONNECTION',
  'SSH_ORIGINAL_COMMAND',
  'SSH_TTY',
  'SSH_USER_AUTH',
  'XAUTHORITY',
  'XDG_RUNTIME_DIR',
  'DBUS_SESSION_BUS_ADDRESS',
]);
const linkerPrefixes = ['LD_', 'DYLD_', 'GLIBC_'];
const neverTakenPrefixes = [...linkerPrefixes, 'BASH_FUNC_', 'SSH_AUTH_INFO'];

function isIdentifier(name: string): boolean {
  return name.length <= maxNameCharacters && /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
}

/** Whether a pattern of AcceptEnv means names that are not taken. */
export function reachesNeverTaken(pattern: string): boolean {
  return (
    [...neverTaken].some((name) => matchesPattern(name, pattern)) ||
    neverTakenPrefixes.some(
      (prefix) => pattern.startsWith(prefix) || matchesPattern(`${prefix}X`, pattern),
    )
  );
}

/** A client's `env` request (RFC 4254 §6.4). */
export function acceptsEnvironmentName(
  config: { readonly acceptEnv: readonly string[] },
  name: string,
): boolean {
  return (
    isIdentifier(name) &&
    !neverTaken.has(name) &&
    !neverTakenPrefixes.some((prefix) => name.startsWith(prefix)) &&
    config.acceptEnv.some((pattern) => matchesPattern(name, pattern))
  );
}

/**
 * ~/.ssh/environment and environment=, once the administrator has allowed them. The user writes
 * these and may set PATH, as under sshd; only the dynamic linker stays out of reach.
 */
export function isUserEnvironmentName(name: string): boolean {
  return isIdentifier(name) && !linkerPrefixes.some((prefix) => name.startsWith(prefix));
}
