/**
 * `internal-sftp` of Subsystem, ForceCommand and command= (sshd_config(5)): Debian's sftp-server with
 * the flags behind the name, run without a shell. Pure. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import type { Place } from './values.ts';

export const sftpServerFile = '/usr/lib/openssh/sftp-server';

export function isInternalSftp(command: string): boolean {
  return /^internal-sftp(?:[ \t]|$)/.test(command);
}

/** The name first. As in sshd no quotes are known. */
export function internalSftpArguments(command: string): readonly string[] {
  return command.split(/[ \t]+/).filter((word) => word !== '');
}

/** Said at the start, not at the first login. Throws ConfigError. */
export function checkInternalSftp(command: string, place: Place): string {
  if (isInternalSftp(command) && !place.isExecutable(sftpServerFile)) {
    throw new ConfigError(
      `internal-sftp needs ${sftpServerFile}, which is not there: install the package openssh-sftp-server`,
    );
  }
  return command;
}
