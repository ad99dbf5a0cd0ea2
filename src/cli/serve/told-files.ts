/** Files that sshdesk_config names, looked at when it is read. Runs in: monitor, launcher. */
import type { Log } from '../../audit/log.ts';
import type { DesktopConfig } from '../../policy/config.ts';
import { tellOfCardFiles } from './card-files.ts';
import { tellOfNxKeys } from './nx-keys.ts';

/** Throws ConfigError where nothing could come of it. */
export async function tellOfFiles(
  config: DesktopConfig,
  log: Log,
  isRootless: boolean,
): Promise<void> {
  await tellOfCardFiles(config, log);
  tellOfNxKeys(config, log, isRootless);
}
