/**
 * The keys of the account `nx`, looked at when a configuration is read: who has one of them reaches the
 * question for a password, so what is wrong with them is said at every start. Runs in: monitor, launcher.
 */
import { readFileSync, statSync } from 'node:fs';
import type { Log } from '../../audit/log.ts';
import { ConfigError } from '../../base/errors.ts';
import type { DesktopConfig } from '../../policy/config.ts';

const othersMayWrite = 0o022;

/** Lines of a type that the published keys of old servers have. */
function publishedLines(text: string): readonly number[] {
  return text.split('\n').flatMap((line, index) => (/^\s*ssh-dss\s/.test(line) ? [index + 1] : []));
}

/** Throws ConfigError where the account could never answer, or where its keys are not root's alone. */
export function tellOfNxKeys(
  { nxLegacyAccount, nxKeyFile: file }: DesktopConfig,
  log: Log,
  isRootless: boolean,
): void {
  if (!nxLegacyAccount) {
    return;
  }
  if (isRootless) {
    throw new ConfigError(
      'NXLegacyAccount: passwords are asked by PAM, as root; start sshdesk as root, or take the line out',
    );
  }
  try {
    const { mode, uid } = statSync(file);
    if (uid !== 0 || (mode & othersMayWrite) !== 0) {
      throw new ConfigError(
        `NXKeyFile ${file}: others than root may write it, and so decide who reaches the login of nx: chown root, chmod 644`,
      );
    }
    for (const line of publishedLines(readFileSync(file, 'utf8'))) {
      log.error(
        `NXKeyFile ${file}:${line}: an ssh-dss key, as the one that was published with old NX servers and that anybody has; it opens nothing here (sshdesk nxserver --keygen makes another)`,
      );
    }
  } catch (error) {
    if (error instanceof ConfigError) {
      throw error;
    }
    log.error(
      `NXKeyFile ${file}: ${(error as Error).message}; nobody comes in as nx (sshdesk nxserver --keygen)`,
    );
  }
}
