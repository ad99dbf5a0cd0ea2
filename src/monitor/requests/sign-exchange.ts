/**
 * `sign-exchange`: the host key's signature over an exchange hash that the monitor computed itself
 * (RFC 4253 §8). The server's KEXINIT must carry the cookie that the monitor gave for this very
 * exchange, so neither an old hash nor a recorded signature is worth anything. Runs in: monitor.
 */
import { randomBytes } from 'node:crypto';
import { KexError, MonitorRefusal } from '../../base/errors.ts';
import { hostKeyAlgorithms } from '../../ssh/wire/algorithms.ts';
import { exchangeHash, type ExchangeValues } from '../../ssh/wire/exchange-hash.ts';
import { checkExchange } from '../../ssh/wire/kex-values.ts';
import { CallFailure } from '../../ssh/wire/peer.ts';
import { Reader } from '../../ssh/wire/reader.ts';
import type { Connection } from '../connection.ts';
import type { HostKeys } from '../host-keys.ts';
import { SignExchange } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';
import { TokenAway } from '../token-host-key.ts';

export const cookieBytes = 16;
const kexInitNumber = 20;
/** errno EIO */
const cannotSign = 5;

/** What the configuration allows, whatever a worker's KEXINIT may say. */
export interface ExchangeAlgorithms {
  readonly kex: readonly string[];
  readonly serverHostKey: readonly string[];
}

/** The signature algorithm when the key of this blob can serve the host key algorithm. */
function signatureFor(hostKey: Buffer, algorithm: string): string | undefined {
  const row = hostKeyAlgorithms.find(({ name }) => name === algorithm);
  const type = new Reader(hostKey).string().toString('latin1');
  return row?.keyType === type ? row.signature : undefined;
}

function offered(serverKexInit: Buffer): {
  readonly kex: readonly string[];
  readonly hostKey: readonly string[];
} {
  const from = new Reader(serverKexInit, 1 + cookieBytes);
  return { kex: from.nameList(), hostKey: from.nameList() };
}

/** The worker has looked at the client's value; what is wrong here is the worker's. */
function hashOf(kexAlgorithm: string, values: ExchangeValues): Buffer {
  try {
    checkExchange(kexAlgorithm, values);
    return exchangeHash(kexAlgorithm, values);
  } catch (error) {
    if (error instanceof KexError) {
      throw new MonitorRefusal(`sign-exchange: ${error.detail}`);
    }
    throw error;
  }
}

/** Nobody has the host key sign without end, or faster than a transfer may need. */
async function keepPace(connection: Connection): Promise<void> {
  const waitMs = connection.exchanges.take(performance.now(), connection.phase === 'postauth');
  if (waitMs === undefined) {
    throw new MonitorRefusal('sign-exchange: too many exchanges before authentication');
  }
  if (waitMs > 0) {
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

export interface SignExchangeHost {
  readonly hostKeys: HostKeys;
  readonly version: string;
  readonly algorithms: ExchangeAlgorithms;
}

export function signExchange({ hostKeys, version, algorithms }: SignExchangeHost): AnyRow {
  return row({
    schema: SignExchange,
    phase: ['preauth', 'postauth'],
    once: false,
    decides: false,
    serial: true,
    async handle(connection, values) {
      const { serverKexInit, hostKey, kexAlgorithm, hostKeyAlgorithm } = values;
      await keepPace(connection);
      if (serverKexInit[0] !== kexInitNumber || values.clientKexInit[0] !== kexInitNumber) {
        throw new MonitorRefusal('sign-exchange: not a KEXINIT');
      }
      if (!serverKexInit.subarray(1, 1 + cookieBytes).equals(connection.cookie)) {
        throw new MonitorRefusal(
          'sign-exchange: the KEXINIT does not carry the cookie given for it',
        );
      }
      if (values.serverVersion.toString('latin1') !== version) {
        throw new MonitorRefusal('sign-exchange: not our identification string');
      }
      const offer = offered(serverKexInit);
      const isOffered =
        offer.kex.includes(kexAlgorithm) &&
        offer.hostKey.includes(hostKeyAlgorithm) &&
        algorithms.kex.includes(kexAlgorithm) &&
        algorithms.serverHostKey.includes(hostKeyAlgorithm);
      if (!isOffered) {
        throw new MonitorRefusal('sign-exchange: an algorithm that the KEXINIT does not offer');
      }
      const key = hostKeys.find(hostKey);
      const signatureAlgorithm =
        key === undefined ? undefined : signatureFor(hostKey, hostKeyAlgorithm);
      if (key === undefined || signatureAlgorithm === undefined) {
        throw new MonitorRefusal('sign-exchange: no such host key');
      }
      const hash = hashOf(kexAlgorithm, values);
      values.sharedSecret.fill(0);
      connection.sessionId ??= hash;
      connection.firstHostKey ??= Buffer.from(hostKey);
      connection.hostKeyAlgorithm = signatureAlgorithm;
      // Spent before anything is awaited.
      connection.cookie = randomBytes(cookieBytes);
      const nextCookie = connection.cookie;
      try {
        const signature = await key.sign(signatureAlgorithm, hash);
        return { values: { signature, hash, nextCookie } };
      } catch (error) {
        const line = `sign-exchange: ${signatureAlgorithm}: ${(error as Error).message}`;
        // Said once, for all connections.
        connection.log.at(error instanceof TokenAway ? 'DEBUG1' : 'ERROR', line);
        throw new CallFailure(cannotSign, 'the host key cannot be used');
      }
    },
  });
}
