/** What the host keys that there are can do under HostKeyAlgorithms. Runs in: monitor, launcher. */
import { ConfigError } from '../base/errors.ts';
import type { HostKeys } from '../monitor/host-keys.ts';
import type { ServerConfig } from '../policy/config.ts';
import { hostKeyAlgorithms } from '../ssh/wire/algorithms.ts';
import { Reader } from '../ssh/wire/reader.ts';

/** Of HostKeyAlgorithms those that there is a key or a certificate for. Throws ConfigError: none. */
export function offeredHostKeyAlgorithms(
  hostKeys: HostKeys,
  config: Pick<ServerConfig, 'hostKeyAlgorithms'>,
): readonly string[] {
  const { names } = config.hostKeyAlgorithms;
  const types = new Set(
    hostKeys.offeredBlobs.map((blob) => new Reader(blob).string().toString('latin1')),
  );
  const offered = names.filter((name) =>
    hostKeyAlgorithms.some((row) => row.name === name && types.has(row.keyType)),
  );
  if (offered.length === 0) {
    throw new ConfigError(
      `no host key can serve an algorithm of HostKeyAlgorithms (${names.join(',')}); there are keys of ${[...types].join(', ')}`,
    );
  }
  return offered;
}

/** The plain keys that an enabled algorithm can use; a certificate proves itself. */
export function announcedHostKeys(
  hostKeys: HostKeys,
  config: Pick<ServerConfig, 'hostKeyAlgorithms'>,
): readonly Buffer[] {
  const { names } = config.hostKeyAlgorithms;
  return hostKeys.publicBlobs.filter((blob) => {
    const type = new Reader(blob).string().toString('latin1');
    return hostKeyAlgorithms.some((row) => row.keyType === type && names.includes(row.name));
  });
}
