/**
 * The host keys of a configuration, and what modules of tokens need of the machine: an account, and
 * the line that a key stands in. Runs in: monitor, launcher.
 */
import type { Log } from '../../audit/log.ts';
import { isPkcs11Uri } from '../../../keys/pkcs11-uri.ts';
import { type HostKeys, loadHostKeys } from '../../monitor/host-keys.ts';
import { TokenHostKeys } from '../../monitor/token-host-keys.ts';
import type { DesktopConfig, ServerConfig } from '../../policy/config.ts';
import { idsOf } from './account.ts';

export interface Configured {
  readonly config: ServerConfig;
  readonly desktopConfig: DesktopConfig;
  /** Value of a HostKey → `FILE:LINE`. */
  readonly hostKeyPlaces: ReadonlyMap<string, string>;
}

export interface LoadedHostKeys {
  readonly hostKeys: HostKeys;
  readonly tokens: TokenHostKeys;
}

/** Rejects with ConfigError; then nothing of it is left. */
export async function hostKeysOf(
  { config, desktopConfig, hostKeyPlaces }: Configured,
  log: Log,
  before?: TokenHostKeys,
): Promise<LoadedHostKeys> {
  const environment = process.env;
  const asRoot = process.getuid?.() === 0 && config.hostKeyFiles.some(isPkcs11Uri);
  const name = desktopConfig.hostKeyModuleUser;
  const user = asRoot
    ? { name, ...idsOf(name, `HostKeyModuleUser: there is no account ${name}`) }
    : undefined;
  const tokens = new TokenHostKeys({ log, user, environment }, { places: hostKeyPlaces, before });
  try {
    return { hostKeys: await loadHostKeys(config, log, environment, tokens), tokens };
  } catch (error) {
    await tokens.close();
    throw error;
  }
}
