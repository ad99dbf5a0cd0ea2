/**
 * What the workers of a policy are started with and told. Two policies with equal settings can be
 * served by the same workers. Runs in: monitor.
 */
import { join } from 'node:path';
import { announcedSignatures } from '../monitor/offered-key.ts';
import { compressionAlgorithms, defaultNames } from '../ssh/wire/algorithms.ts';
import { hardFileLimit } from './file-limit.ts';
import { announcedHostKeys, offeredHostKeyAlgorithms } from './host-key-offer.ts';
import type { MonitorPolicy } from './monitor-policy.ts';
import { installDirectory, workerReadOnly } from './places.ts';
import type { WorkerPoolSettings } from './worker-pool.ts';

export interface WorkerHost {
  readonly isRootless: boolean;
  /** uid and gid of the account `sshdesk`; unused when rootless. */
  readonly workerAccount: { readonly uid: number; readonly gid: number };
  /** What a worker runs; the tests put a hostile one in its place. */
  readonly workerProgram?: string;
  /** -i: there is one connection, and one worker is enough. */
  readonly servesInherited: boolean;
}

const defaultWorkerProgram = join(installDirectory, 'src/process/worker.ts');

export function workerSettings(
  { config, desktopConfig, hostKeys, version }: MonitorPolicy,
  { isRootless, workerAccount, workerProgram, servesInherited }: WorkerHost,
): WorkerPoolSettings {
  const isolated = desktopConfig.workerIsolation === 'connection';
  const blobs = hostKeys.offeredBlobs;
  const confinement = isRootless ? ('relaxed' as const) : desktopConfig.workerConfinement;
  return {
    count: servesInherited ? 1 : desktopConfig.workers,
    connectionsPerWorker: isolated ? 1 : desktopConfig.workerConnections,
    order: {
      arguments: [
        process.execPath,
        '--permission',
        '--allow-addons',
        `--allow-fs-read=${installDirectory}`,
        '--disable-sigusr1',
        '--no-warnings',
        // Bulk data makes little but external garbage, collected every 64 MiB by default. An upload of
        // 2 GiB on a busy machine took 1.5 to 1.8 s of CPU without these two, 1.0 to 1.3 s with them.
        '--external-memory-accounted-in-global-limit',
        '--max-semi-space-size=1',
        workerProgram ?? defaultWorkerProgram,
      ],
      environment: [],
      readOnly: workerReadOnly(process.execPath),
      directory: '/',
      uid: isRootless ? 0 : workerAccount.uid,
      gid: isRootless ? 0 : workerAccount.gid,
      relaxed: confinement === 'relaxed',
    },
    settings: {
      version,
      algorithms: {
        kex: config.kexAlgorithms.names,
        serverHostKey: offeredHostKeyAlgorithms(hostKeys, config),
        cipher: config.ciphers.names,
        mac: config.macs.names,
        compress: config.compression ? defaultNames(compressionAlgorithms) : ['none'],
      },
      hostKeys: blobs.map((blob) => blob.toString('base64')),
      announcedHostKeys: announcedHostKeys(hostKeys, config).map((blob) => blob.toString('base64')),
      confinement,
      descriptorLimit: hardFileLimit(),
      rekeyBytes: config.rekeyLimit.bytes,
      rekeyMs: config.rekeyLimit.ms,
      acceptedUserKeyAlgorithms: announcedSignatures(config),
    },
  };
}
