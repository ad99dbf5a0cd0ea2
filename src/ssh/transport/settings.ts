/**
 * What a server's transport is told: identification, algorithms, host keys, when to exchange keys
 * anew. Names and keys are checked here, before a byte is sent. Pure. Runs in: worker.
 */
import { ConfigError } from '../../base/errors.ts';
import {
  type AlgorithmRow,
  cipherAlgorithms,
  compressionAlgorithms,
  hostKeyAlgorithms,
  kexAlgorithms,
  macAlgorithms,
} from '../wire/algorithms.ts';
import { Reader } from '../wire/reader.ts';

export interface ServerTransportSettings {
  /** Identification without CR LF, e.g. `SSH-2.0-sshdesk_0.1.0`. */
  readonly version: string;
  readonly algorithms: {
    readonly kex: readonly string[];
    readonly serverHostKey: readonly string[];
    readonly cipher: readonly string[];
    readonly mac: readonly string[];
    readonly compress: readonly string[];
  };
  /** Public blobs, of keys and of their certificates; the first of each type is used. */
  readonly hostKeys: readonly Buffer[];
  /** 0: only as often as the cipher asks (RFC 4344 §3.2). */
  readonly rekeyBytes: number;
  /** 0: never by time. */
  readonly rekeyMs: number;
  /** Packets under one key before a new one is asked for; default: limits.packetsPerKey. */
  readonly rekeyPackets?: number;
  /** server-sig-algs of EXT_INFO; default: all that are implemented. */
  readonly userKeyAlgorithms?: readonly string[];
}

export interface CheckedOffer {
  readonly kex: readonly string[];
  readonly serverHostKey: readonly string[];
  readonly cipher: readonly string[];
  readonly mac: readonly string[];
  readonly compress: readonly string[];
  /** Public blobs by host key algorithm, in the order of `serverHostKey`. */
  readonly hostKeys: ReadonlyMap<string, Buffer>;
}

function known(names: readonly string[], rows: readonly AlgorithmRow[]): readonly string[] {
  for (const name of names) {
    if (!rows.some((row) => row.name === name)) {
      throw new ConfigError(`algorithm ${JSON.stringify(name)} is not implemented`);
    }
  }
  return names;
}

/** In the order of the configured algorithms, those that there is a key for. */
function usableHostKeys(settings: ServerTransportSettings): ReadonlyMap<string, Buffer> {
  const byType = new Map<string, Buffer>();
  for (const blob of settings.hostKeys) {
    const type = new Reader(blob).string().toString('latin1');
    if (!byType.has(type)) {
      byType.set(type, blob);
    }
  }
  const usable = new Map<string, Buffer>();
  for (const name of known(settings.algorithms.serverHostKey, hostKeyAlgorithms)) {
    const row = hostKeyAlgorithms.find((candidate) => candidate.name === name);
    const blob = byType.get(row?.keyType ?? '');
    if (blob !== undefined) {
      usable.set(name, blob);
    }
  }
  if (usable.size === 0) {
    throw new ConfigError('no host key for any configured host key algorithm');
  }
  return usable;
}

/** Throws ConfigError for a name that is not implemented and when no host key can be used. */
export function checkedOffer(settings: ServerTransportSettings): CheckedOffer {
  const { algorithms } = settings;
  const hostKeys = usableHostKeys(settings);
  return {
    hostKeys,
    serverHostKey: [...hostKeys.keys()],
    kex: known(algorithms.kex, kexAlgorithms),
    cipher: known(algorithms.cipher, cipherAlgorithms),
    mac: known(algorithms.mac, macAlgorithms),
    compress: known(algorithms.compress, compressionAlgorithms),
  };
}
