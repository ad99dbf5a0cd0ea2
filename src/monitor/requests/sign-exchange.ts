/**
 * `sign-exchange`: the host key's signature over an exchange hash that the monitor computed itself
 * (RFC 4253 §8). The server's KEXINIT must carry the cookie that the monitor gave for this very
 * exchange, so neither an old hash nor a recorded signature is worth anything. Runs in: monitor.
 */
import { randomBytes } from 'node:crypto';
import { MonitorRefusal } from '../../base/errors.ts';
import { exchangeHash } from '../../ssh/wire/exchange-hash.ts';
import { Reader } from '../../ssh/wire/reader.ts';
import { Writer } from '../../ssh/wire/writer.ts';
import type { HostKeys } from '../host-keys.ts';
import { SignExchange } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';

export const cookieBytes = 16;
const kexInitNumber = 20;

/** Which host key algorithms a key can sign for. */
function mayServe(keyType: string, algorithm: string): boolean {
  return keyType === 'ssh-rsa'
    ? algorithm === 'rsa-sha2-256' || algorithm === 'rsa-sha2-512'
    : algorithm === keyType;
}

function offered(serverKexInit: Buffer): {
  readonly kex: readonly string[];
  readonly hostKey: readonly string[];
} {
  const from = new Reader(serverKexInit, 1 + cookieBytes);
  return { kex: from.nameList(), hostKey: from.nameList() };
}

export function signExchange(hostKeys: HostKeys, version: string): AnyRow {
  return row({
    schema: SignExchange,
    phase: ['preauth', 'postauth'],
    once: false,
    decides: false,
    serial: true,
    handle(connection, values) {
      const { serverKexInit, hostKey, kexAlgorithm, hostKeyAlgorithm } = values;
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
      if (!offer.kex.includes(kexAlgorithm) || !offer.hostKey.includes(hostKeyAlgorithm)) {
        throw new MonitorRefusal('sign-exchange: an algorithm that the KEXINIT does not offer');
      }
      const key = hostKeys.find(hostKey);
      if (key === undefined || !mayServe(key.type, hostKeyAlgorithm)) {
        throw new MonitorRefusal('sign-exchange: no such host key');
      }
      const hash = exchangeHash(kexAlgorithm, values);
      values.sharedSecret.fill(0);
      connection.sessionId ??= hash;
      connection.firstHostKey ??= Buffer.from(hostKey);
      connection.cookie = randomBytes(cookieBytes);
      return {
        values: {
          signature: new Writer().raw(key.sign(hostKeyAlgorithm, hash)).done(),
          hash,
          nextCookie: connection.cookie,
        },
      };
    },
  });
}
