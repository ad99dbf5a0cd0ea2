/**
 * `query-key`, `check-key` (RFC 4252 §7; OpenSSH's PROTOCOL §3.1 publickey-hostbound-v00). The
 * monitor builds the signed bytes itself over the session identifier that it computed, checks
 * signature, key file and policy; the key that is judged is the key that signed. Runs in: monitor.
 */
import { type FidoDetails, fidoFlags, verifySignature } from '../../../keys/signature.ts';
import { fingerprint, publicLine } from '../../../keys/public-key.ts';
import type { KeyOptions } from '../../../keys/key-options.ts';
import { CallFailure } from '../../ssh/wire/peer.ts';
import type { AuthReply } from '../auth-reply.ts';
import { type Authentication, authenticationOf } from '../authentication.ts';
import type { Candidate } from '../candidate.ts';
import { lookForCardsInVain } from '../card-certificates.ts';
import { CheckKey, QueryKey } from '../link.ts';
import { keyFilesOf } from '../authorized-keys-source.ts';
import { type OfferedKey, readOffer, typeName } from '../offered-key.ts';
import { type AnyRow, row } from '../request-table.ts';
import { isOfThisServer, signedBytes } from '../signed-request.ts';
import { permitUserKey, type PermittedKey, type UserKeyPlace } from '../user-key.ts';

function read(
  authentication: Authentication,
  algorithm: string,
  blob: Buffer,
  hostKey: Buffer,
): OfferedKey | undefined {
  const { log, config } = authentication.candidate.host;
  if (!authentication.methods.includes('publickey')) {
    return undefined;
  }
  if (!isOfThisServer(authentication.candidate.connection, hostKey)) {
    log.error('userauth_pubkey: hostbound key mismatch with initial hostkey [preauth]');
    return undefined;
  }
  const offer = readOffer(algorithm, blob, config);
  if (!offer.ok) {
    log.at(offer.level, `${offer.text} [preauth]`);
    return undefined;
  }
  const { key, certificate } = offer.offered;
  if (authentication.factors.hasUsed(key.blob)) {
    log.info(`refusing previously-used ${typeName(key, certificate)} key [preauth]`);
    return undefined;
  }
  return offer.offered;
}

/**
 * The files of nobody are looked for as well, so that the time of a refusal does not tell who exists;
 * whatever is found counts for nothing.
 */
async function lookInVain(
  candidate: Candidate,
  offered: OfferedKey,
  { readMemfd }: UserKeyPlace,
): Promise<undefined> {
  try {
    await lookForCardsInVain(candidate, { readMemfd });
    for await (const source of keyFilesOf(candidate, offered, readMemfd)) {
      source.content?.fill(0);
    }
  } catch (error) {
    // Without root a leader cannot become anybody else, nobody neither: then there is nothing to read.
    if (!(error instanceof CallFailure)) {
      throw error;
    }
  }
}

async function permit(
  candidate: Candidate,
  offered: OfferedKey,
  place: UserKeyPlace,
): Promise<PermittedKey | undefined> {
  const { config, nowMs, sleepMs } = candidate.host;
  const startedMs = nowMs();
  const permitted = candidate.isValid
    ? await permitUserKey(candidate, offered, place)
    : await lookInVain(candidate, offered, place);
  if (permitted === undefined && config.authorizedKeysCommand !== undefined) {
    const elapsedMs = nowMs() - startedMs;
    const { pace } = place;
    const leavesAtMs = candidate.isValid ? pace.leavesAtMs(elapsedMs) : pace.usualMs;
    await sleepMs(leavesAtMs - elapsedMs);
  }
  return permitted;
}

export function queryKey(place: UserKeyPlace): AnyRow {
  return row({
    schema: QueryKey,
    phase: ['preauth'],
    once: false,
    decides: true,
    serial: true,
    async handle(connection, { algorithm, blob, hostKey }) {
      const authentication = authenticationOf(connection);
      const over = await authentication.beginAttempt();
      if (over !== undefined) {
        return { values: over };
      }
      const offered = read(authentication, algorithm, blob, hostKey);
      if (offered === undefined) {
        return { values: authentication.refuse('publickey', undefined, false) };
      }
      const permitted = authentication.attempts.mayAskForKeys
        ? await permit(authentication.candidate, offered, place)
        : undefined;
      return {
        values:
          permitted === undefined
            ? authentication.refuse('publickey', offered.logged)
            : authentication.acceptable(),
      };
    },
  });
}

/** False: the authenticator has not seen what it had to see. Says so as sshd does. */
function satisfies(
  { connection, host, logged }: Candidate,
  offered: OfferedKey,
  options: KeyOptions,
  fido: FidoDetails | undefined,
): boolean {
  if (fido === undefined) {
    return true;
  }
  const { log, config } = host;
  const { touchRequired, verifyRequired } = config.pubkeyAuthOptions;
  const reject = (requirement: string): false => {
    const { key, certificate } = offered;
    log.error(
      `public key ${typeName(key, certificate)} ${fingerprint(key.blob, config.fingerprintHash)} signature for ${logged} from ${connection.from} rejected: ${requirement} requirement not met `,
    );
    return false;
  };
  if ((touchRequired || options.needsTouch) && (fido.flags & fidoFlags.userPresent) === 0) {
    return reject('user presence (authenticator touch)');
  }
  if (
    (verifyRequired || options.needsVerification) &&
    (fido.flags & fidoFlags.userVerified) === 0
  ) {
    return reject('user verification');
  }
  return true;
}

async function check(
  authentication: Authentication,
  offered: OfferedKey,
  signature: Buffer,
  signed: Buffer,
  place: UserKeyPlace,
): Promise<AuthReply> {
  const { algorithm, blob, key, logged } = offered;
  const permitted = await permit(authentication.candidate, offered, place);
  // The signature of a key that would not do is not looked at: it may be one that costs time.
  const verified = permitted && verifySignature(algorithm.signature.name, key, signature, signed);
  if (
    permitted === undefined ||
    verified === undefined ||
    !satisfies(authentication.candidate, offered, permitted.options, verified.fido)
  ) {
    return authentication.refuse('publickey', logged);
  }
  authentication.factors.rememberKey(key.blob);
  const proof = publicLine(blob);
  return authentication.accept('publickey', '', logged, permitted.options, undefined, proof);
}

export function checkKey(place: UserKeyPlace): AnyRow {
  return row({
    schema: CheckKey,
    phase: ['preauth'],
    once: false,
    decides: true,
    serial: true,
    async handle(connection, { algorithm, blob, signature, hostKey }) {
      const authentication = authenticationOf(connection);
      const over = await authentication.beginAttempt();
      if (over !== undefined) {
        return { values: over };
      }
      const offered = read(authentication, algorithm, blob, hostKey);
      if (offered === undefined) {
        return { values: authentication.refuse('publickey', undefined, false) };
      }
      const { candidate, service } = authentication;
      const signed = signedBytes(candidate, service, algorithm, blob, hostKey);
      return { values: await check(authentication, offered, signature, signed, place) };
    },
  });
}
