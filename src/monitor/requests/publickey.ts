/**
 * `query-key`, `check-key` (RFC 4252 §7). The monitor builds the signed bytes itself over the
 * session identifier that it computed, checks signature, key file and policy; the key that is judged
 * is the key that signed. Runs in: monitor.
 */
import { fingerprint, parsePublicKey, verify } from '../../../keys/public-key.ts';
import { userKeyAlgorithm } from '../../../keys/algorithms.ts';
import { MonitorRefusal } from '../../base/errors.ts';
import { Writer } from '../../ssh/wire/writer.ts';
import { type Authentication, authenticationOf, authReply } from '../authentication.ts';
import { findAuthorizedKey, type FoundKey } from '../authorized-keys-source.ts';
import { authIs, CheckKey, QueryKey } from '../link.ts';
import { type AnyRow, row } from '../request-table.ts';

const userauthRequest = 50;
type ReadMemfd = (descriptor: number, maxBytes: number) => Buffer;

/** RFC 4252 §7: what the client has signed. */
function signedBytes(authentication: Authentication, algorithm: string, blob: Buffer): Buffer {
  const { sessionId } = authentication.connection;
  if (sessionId === undefined) {
    throw new MonitorRefusal('a signature before the first key exchange');
  }
  return new Writer()
    .string(sessionId)
    .byte(userauthRequest)
    .string(authentication.claimedUser)
    .text(authentication.service)
    .text('publickey')
    .bool(true)
    .text(algorithm)
    .string(blob)
    .done();
}

/** `ED25519 SHA256:…`, or the reason why the blob is no key that we take. */
function describe(
  algorithm: string,
  blob: Buffer,
): { readonly info: string } | { readonly refused: string } {
  const known = userKeyAlgorithm(algorithm);
  if (known === undefined) {
    return { refused: `key algorithm ${algorithm} is not accepted` };
  }
  const parsed = parsePublicKey(blob);
  if (!parsed.ok) {
    return { refused: parsed.reason };
  }
  if (parsed.key.type !== known.keyType) {
    return { refused: `a ${parsed.key.type} key offered as ${algorithm}` };
  }
  return { info: `${known.shortName} ${fingerprint(blob)}` };
}

async function look(
  authentication: Authentication,
  blob: Buffer,
  readMemfd: ReadMemfd,
): Promise<FoundKey | undefined> {
  return authentication.isValid ? findAuthorizedKey(authentication, blob, readMemfd) : undefined;
}

export function queryKey(readMemfd: ReadMemfd): AnyRow {
  return row({
    schema: QueryKey,
    phase: ['preauth'],
    once: false,
    decides: true,
    serial: true,
    async handle(connection, { algorithm, blob }) {
      const authentication = authenticationOf(connection);
      const over = await authentication.abandonConversation();
      if (over !== undefined) {
        return { values: over };
      }
      const described = describe(algorithm, blob);
      if ('refused' in described || !authentication.methods.includes('publickey')) {
        if ('refused' in described) {
          authentication.host.log.verbose(`publickey: ${described.refused} [preauth]`);
        }
        return { values: authentication.refuse('publickey', '') };
      }
      const found = await look(authentication, blob, readMemfd);
      return {
        values:
          found === undefined
            ? authentication.refuse('publickey', described.info)
            : authReply(authIs.acceptable),
      };
    },
  });
}

export function checkKey(readMemfd: ReadMemfd): AnyRow {
  return row({
    schema: CheckKey,
    phase: ['preauth'],
    once: false,
    decides: true,
    serial: true,
    async handle(connection, { algorithm, blob, signature }) {
      const authentication = authenticationOf(connection);
      const over = await authentication.abandonConversation();
      if (over !== undefined) {
        return { values: over };
      }
      const described = describe(algorithm, blob);
      if ('refused' in described || !authentication.methods.includes('publickey')) {
        return { values: authentication.refuse('publickey', '') };
      }
      const found = await look(authentication, blob, readMemfd);
      const isGenuine = verify(
        algorithm,
        blob,
        signature,
        signedBytes(authentication, algorithm, blob),
      );
      if (found === undefined || !isGenuine) {
        return { values: authentication.refuse('publickey', described.info) };
      }
      authentication.host.log.verbose(
        `Accepted key ${described.info} found at ${found.file}:${found.line}`,
      );
      return {
        values: await authentication.accept('publickey', '', described.info, found.options),
      };
    },
  });
}
