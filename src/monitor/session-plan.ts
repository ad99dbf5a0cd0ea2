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
      readonly arguments: readonly Buffer[];
      readonly originalCommand: Buffer | undefined;
      readonly wasForced: boolean;
      /** It sees none of the user's environment, and enters a ChrootDirectory by itself. */
      readonly isSftpServer: boolean;
      /** A shell, with no command: the user is greeted. */
      readonly isLoginShell: boolean;
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
  command: Buffer | undefined,
  isInternalSftpMeant: boolean,
): {
  readonly file: string;
  readonly arguments: readonly Buffer[];
  readonly isSftpServer: boolean;
} {
  const text = command?.toString('utf8');
  if (text !== undefined && isInternalSftpMeant && isInternalSftp(text)) {
    const words = internalSftpArguments(text).map((word) => Buffer.from(word));
    return { file: sftpServerFile, arguments: words, isSftpServer: true };
  }
  const name = basename(shell);
  const words =
    command === undefined
      ? [Buffer.from(`-${name}`)]
      : [Buffer.from(name), Buffer.from('-c'), command];
  return { file: shell, arguments: words, isSftpServer: false };
}

export function planSession(
  login: Login,
  session: Session,
  kind: SessionKind,
  command: Buffer,
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
          arguments: [Buffer.from('passwd')],
          originalCommand: undefined,
          wasForced: true,
          isSftpServer: false,
          isLoginShell: kind === 'shell',
          logged: 'shell',
          stderrText: `${expiredWarning}\nYou must change your password now and login again!\n`,
        };
  }
  let asked = kind === 'shell' ? undefined : command;
  let logged = kind === 'shell' ? 'shell' : 'command';
  let internal: Internal | undefined;
  if (kind === 'subsystem') {
    const name = command.toString('utf8');
    const configured = subsystems.get(name);
    if (configured !== undefined) {
      asked = Buffer.from(configured);
    } else if (isInternal(name)) {
      internal = name;
    } else {
      return {
        is: 'refused',
        why: `subsystem request for ${name} by user ${login.user} failed, subsystem not found`,
      };
    }
    logged = `subsystem '${name}'`;
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
      ...programOf(shell, Buffer.from(forced), true),
      originalCommand: asked,
      wasForced: true,
      isLoginShell: false,
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
    isLoginShell: asked === undefined,
    logged,
    stderrText: '',
  };
}
