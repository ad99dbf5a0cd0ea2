/**
 * What a shell, exec or subsystem request comes to under this login's grant: a program, an internal
 * subsystem, or no. Decided from the monitor's own knowledge only. Pure.
 */
import { basename } from 'node:path';
import { internalSftpArguments, isInternalSftp, sftpServerFile } from '../policy/internal-sftp.ts';
import type { Verdict } from '../policy/verdict.ts';
import type { Login, Session } from './connection.ts';

export type SessionKind = 'shell' | 'exec' | 'subsystem';
export type Internal = 'rfb' | 'display';

export type Plan =
  | { readonly is: 'refused'; readonly why: string }
  | { readonly is: 'internal'; readonly name: Internal }
  /** Nothing runs: the user reads why, and the session exits with `status`. */
  | { readonly is: 'told'; readonly text: string; readonly status: number }
  /** A forced internal-sftp, and something else was asked for: nothing runs. */
  | { readonly is: 'sftp-only'; readonly logged: string }
  | {
      readonly is: 'program';
      readonly file: string;
      readonly arguments: readonly string[];
      readonly originalCommand: string | undefined;
      readonly wasForced: boolean;
      /** It sees none of the user's environment, and enters a ChrootDirectory by itself. */
      readonly isSftpServer: boolean;
      /** For the VERBOSE line `Starting session: …`. */
      readonly logged: string;
      /** For the user, before the program starts. */
      readonly stderrText: string;
    };

const expiredWarning = 'WARNING: Your password has expired.';
const passwordProgram = '/usr/bin/passwd';
const internalNames: readonly string[] = ['rfb', 'display'] satisfies readonly Internal[];

export function isInternal(name: string): name is Internal {
  return internalNames.includes(name);
}

/** Opening a desktop in any way counts as running a command on a terminal of one's own. */
export function mayOpenDesktop(login: Login): Verdict {
  const { grant } = login;
  if (login.hasNoSession) {
    return { allowed: false, reason: 'no-session', detail: 'pam_open_session failed' };
  }
  if (login.mustChangePassword) {
    return { allowed: false, reason: 'password-expired', detail: 'the password has expired' };
  }
  if (grant.forcedCommand !== undefined && !isInternal(grant.forcedCommand)) {
    return { allowed: false, reason: 'forced-command', detail: 'a forced command is in effect' };
  }
  if (grant.chrootDirectory !== undefined) {
    return { allowed: false, reason: 'chroot', detail: 'ChrootDirectory is in effect' };
  }
  if (!grant.permitTty) {
    return { allowed: false, reason: 'no-pty', detail: 'PermitTTY no or no-pty' };
  }
  return { allowed: true };
}

/** internal-sftp without a shell, everything else by the user's. */
function programOf(
  shell: string,
  command: string | undefined,
  isInternalSftpMeant: boolean,
): {
  readonly file: string;
  readonly arguments: readonly string[];
  readonly isSftpServer: boolean;
} {
  if (command !== undefined && isInternalSftpMeant && isInternalSftp(command)) {
    return { file: sftpServerFile, arguments: internalSftpArguments(command), isSftpServer: true };
  }
  const name = basename(shell);
  return command === undefined
    ? { file: shell, arguments: [`-${name}`], isSftpServer: false }
    : { file: shell, arguments: [name, '-c', command], isSftpServer: false };
}

export function planSession(
  login: Login,
  session: Session,
  kind: SessionKind,
  command: string,
  subsystems: ReadonlyMap<string, string>,
): Plan {
  const { grant, account } = login;
  const shell = account.shell === '' ? '/bin/sh' : account.shell;
  if (login.mustChangePassword) {
    return session.terminal === undefined
      ? {
          is: 'told',
          text: `${expiredWarning}\nPassword change required but no TTY available.\n`,
          status: 1,
        }
      : {
          is: 'program',
          file: passwordProgram,
          arguments: ['passwd'],
          originalCommand: undefined,
          wasForced: true,
          isSftpServer: false,
          logged: 'shell',
          stderrText: `${expiredWarning}\r\nYou must change your password now and login again!\r\n`,
        };
  }
  let asked = kind === 'shell' ? undefined : command;
  let logged = kind === 'shell' ? 'shell' : 'command';
  let internal: Internal | undefined;
  if (kind === 'subsystem') {
    const configured = subsystems.get(command);
    if (configured !== undefined) {
      asked = configured;
    } else if (isInternal(command)) {
      internal = command;
    } else {
      return {
        is: 'refused',
        why: `subsystem request for ${command} by user ${login.user} failed, subsystem not found`,
      };
    }
    logged = `subsystem '${command}'`;
  }
  const forced = grant.forcedCommand;
  if (forced !== undefined) {
    if (isInternal(forced)) {
      const verdict = mayOpenDesktop(login);
      return verdict.allowed
        ? { is: 'internal', name: forced }
        : { is: 'refused', why: `${forced}: ${verdict.detail}` };
    }
    logged = `forced-command (${grant.forcedCommandSource}) '${forced}'`;
    if (isInternalSftp(forced) && (kind !== 'subsystem' || internal !== undefined)) {
      return { is: 'sftp-only', logged };
    }
    return {
      is: 'program',
      ...programOf(shell, forced, true),
      originalCommand: asked,
      wasForced: true,
      logged,
      stderrText: '',
    };
  }
  if (internal !== undefined) {
    const verdict = mayOpenDesktop(login);
    return verdict.allowed
      ? { is: 'internal', name: internal }
      : { is: 'refused', why: `${internal}: ${verdict.detail}` };
  }
  return {
    is: 'program',
    // Who types the name of internal-sftp as a command has it looked for by the shell, as in sshd.
    ...programOf(shell, asked, kind === 'subsystem'),
    originalCommand: undefined,
    wasForced: false,
    logged,
    stderrText: '',
  };
}
