/**
 * Server's half of mlkem768x25519-sha256 (draft-ietf-sshm-mlkem-hybrid-kex): ML-KEM-768 and X25519
 * side by side, K = SHA-256(ML-KEM secret ‖ X25519 secret), a string. Pure. Runs in: worker.
 */
import {
  createHash,
  createPublicKey,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { KexError } from '../../base/errors.ts';

const mlkemPublicBytes = 1184;
const x25519Bytes = 32;
/** SubjectPublicKeyInfo heads in front of the raw keys (RFC 8410, draft-ietf-lamps-kyber). */
const mlkemHead = Buffer.from('308204b2300b0609608648016503040402038204a100', 'hex');
const x25519Head = Buffer.from('302a300506032b656e032100', 'hex');

export interface HybridShare {
  /** ML-KEM ciphertext ‖ X25519 public key. */
  readonly serverValue: Buffer;
  readonly sharedSecret: Buffer;
}

function importRaw(head: Buffer, raw: Buffer): KeyObject {
  return createPublicKey({ key: Buffer.concat([head, raw]), format: 'der', type: 'spki' });
}

/** Throws KexError when the client's value has not the right length or is not a key. */
export function respond(clientValue: Buffer): HybridShare {
  if (clientValue.length !== mlkemPublicBytes + x25519Bytes) {
    throw new KexError(`mlkem768x25519-sha256: client value of ${clientValue.length} bytes`);
  }
  try {
    const mlkem = encapsulate(importRaw(mlkemHead, clientValue.subarray(0, mlkemPublicBytes)));
    const own = generateKeyPairSync('x25519');
    // OpenSSL refuses an all-zero result (RFC 8731 §3) by throwing.
    const secret = diffieHellman({
      privateKey: own.privateKey,
      publicKey: importRaw(x25519Head, clientValue.subarray(mlkemPublicBytes)),
    });
    const ownPublic = own.publicKey.export({ type: 'spki', format: 'der' });
    return {
      serverValue: Buffer.concat([mlkem.ciphertext, ownPublic.subarray(x25519Head.length)]),
      sharedSecret: createHash('sha256').update(mlkem.sharedKey).update(secret).digest(),
    };
  } catch (cause) {
    throw new KexError('mlkem768x25519-sha256: the client value is not a key', { cause });
  }
}
