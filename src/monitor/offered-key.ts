/**
 * The key or certificate of one USERAUTH_REQUEST (RFC 4252 §7), read and held against what the
 * configuration accepts; the reason of a refusal in sshd's words. Runs in: monitor.
 */
import {
  signatureAlgorithms,
  type UserKeyAlgorithm,
  userKeyAlgorithm,
} from '../../keys/algorithms.ts';
import { type Certificate, parseCertificate } from '../../keys/certificate.ts';
import {
  claimedName,
  fingerprint,
  type FingerprintHash,
  parsePublicKey,
  type PublicKey,
} from '../../keys/public-key.ts';
import type { LogLevel } from '../audit/log.ts';
import type { ServerConfig } from '../policy/config.ts';

/** What the log says of a key or certificate. */
/** By what somebody logs in, in their lines. */
export interface LoggedProof {
  /** Behind the colon. */
  readonly text: string;
  readonly fields: Partial<LoggedKey['fields']> & { readonly principal?: string };
}

export interface LoggedKey extends LoggedProof {
  /** `ED25519 SHA256:…`, with all of a certificate that a line tells. */
  readonly text: string;
  readonly fields: {
    readonly key: string;
    readonly keyType: string;
    readonly certificateId?: string;
    readonly certificateSerial?: string;
    readonly authority?: string;
  };
}

export interface OfferedKey {
  readonly algorithm: UserKeyAlgorithm;
  /** As it was sent: what the client has signed. */
  readonly blob: Buffer;
  /** The key itself, in its plain form; of a certificate the one that it certifies. */
  readonly key: PublicKey;
  /** Its signature is right; whether anybody trusts its authority is not asked yet. */
  readonly certificate: Certificate | undefined;
  readonly logged: LoggedKey;
}

export type Offer =
  | { readonly ok: true; readonly offered: OfferedKey }
  | { readonly ok: false; readonly level: LogLevel; readonly text: string };

/** The part of the configuration that is asked. */
export type AcceptedKeys = Pick<
  ServerConfig,
  'pubkeyAcceptedAlgorithms' | 'caSignatureAlgorithms' | 'requiredRsaSize' | 'fingerprintHash'
>;

const loggedNameCharacters = 100;

/** `server-sig-algs` (RFC 8308 §3.1): what a signature may be, of a key or of a certificate. */
export function announcedSignatures(config: AcceptedKeys): readonly string[] {
  const accepted = new Set(
    config.pubkeyAcceptedAlgorithms.map((name) => userKeyAlgorithm(name)?.signature.name),
  );
  return signatureAlgorithms.map(({ name }) => name).filter((name) => accepted.has(name));
}

/** As OpenSSH's sshkey_type names it. */
export function typeName(key: PublicKey, certificate: Certificate | undefined): string {
  return certificate === undefined ? key.shortName : `${key.shortName}-CERT`;
}

function describe(
  key: PublicKey,
  certificate: Certificate | undefined,
  hash: FingerprintHash,
): LoggedKey {
  const keyType = typeName(key, certificate);
  const own = { key: fingerprint(key.blob, hash), keyType };
  const text = `${keyType} ${own.key}`;
  if (certificate === undefined) {
    return { text, fields: own };
  }
  const { keyId, serial } = certificate;
  const authority = fingerprint(certificate.authority.blob, hash);
  return {
    text: `${text} ID ${keyId} (serial ${serial}) CA ${certificate.authority.shortName} ${authority}`,
    fields: { ...own, certificateId: keyId, certificateSerial: String(serial), authority },
  };
}

type Parsed =
  | {
      readonly ok: true;
      readonly key: PublicKey;
      readonly certificate: Certificate | undefined;
    }
  | { readonly ok: false; readonly level: LogLevel; readonly text: string };

function refused(level: LogLevel, text: string): { ok: false; level: LogLevel; text: string } {
  return { ok: false, level, text: `userauth_pubkey: ${text}` };
}

function parse(algorithm: UserKeyAlgorithm, blob: Buffer, config: AcceptedKeys): Parsed {
  const wanted = algorithm.certificateType ?? algorithm.signature.keyType;
  const claimed = claimedName(blob);
  if (claimed !== wanted) {
    const shown = (claimed ?? 'nothing').slice(0, loggedNameCharacters);
    return refused(
      'ERROR',
      `type mismatch for decoded key (received ${shown}, expected ${wanted})`,
    );
  }
  if (algorithm.certificateType === undefined) {
    const parsed = parsePublicKey(blob);
    return parsed.ok
      ? { ok: true, key: parsed.key, certificate: undefined }
      : refused('ERROR', `parse key: ${parsed.reason}`);
  }
  const parsed = parseCertificate(blob, config.caSignatureAlgorithms);
  return parsed.ok
    ? { ok: true, key: parsed.certificate.key, certificate: parsed.certificate }
    : refused(parsed.level, parsed.reason);
}

/**
 * The configuration is asked before anything is parsed: names that are not accepted cost nothing.
 * A name that nothing here verifies (ssh-dss, ssh-rsa) is refused whether it is listed or not.
 */
export function readOffer(name: string, blob: Buffer, config: AcceptedKeys): Offer {
  const algorithm = userKeyAlgorithm(name);
  const shown = name.slice(0, loggedNameCharacters);
  if (!config.pubkeyAcceptedAlgorithms.includes(name)) {
    return algorithm === undefined && !isKnownOfOld(name)
      ? refused('VERBOSE', `unsupported public key algorithm: ${shown}`)
      : refused('INFO', `signature algorithm ${shown} not in PubkeyAcceptedAlgorithms`);
  }
  if (algorithm === undefined) {
    return refused('INFO', `unsupported public key algorithm: ${shown}`);
  }
  const parsed = parse(algorithm, blob, config);
  if (!parsed.ok) {
    return parsed;
  }
  const { key, certificate } = parsed;
  if (key.type === 'ssh-rsa' && key.bits < config.requiredRsaSize) {
    const text = `refusing ${typeName(key, certificate)} key: Invalid key length`;
    return { ok: false, level: 'INFO', text };
  }
  const logged = describe(key, certificate, config.fingerprintHash);
  return { ok: true, offered: { algorithm, blob, key, certificate, logged } };
}

/** What OpenSSH once signed with: the log says at the usual level why such a key is refused. */
function isKnownOfOld(name: string): boolean {
  return [
    'ssh-dss',
    'ssh-rsa',
    'ssh-dss-cert-v01@openssh.com',
    'ssh-rsa-cert-v01@openssh.com',
  ].includes(name);
}
