/**
 * Both halves of mlkem768x25519-sha256 (draft-ietf-sshm-mlkem-hybrid-kex): ML-KEM-768 and X25519
 * side by side, K = SHA-256(ML-KEM secret ‖ X25519 secret), a string. Pure.
 * Runs in: worker (the server's half), user (the client's).
 */
import {
  createHash,
  createPublicKey,
  decapsulate,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { KexError } from '../../base/errors.ts';

const mlkemPublicBytes = 1184;
const mlkemCiphertextBytes = 1088;
const x25519Bytes = 32;
/** SubjectPublicKeyInfo heads in front of the raw keys (RFC 8410, draft-ietf-lamps-kyber). */
const mlkemHead = Buffer.from('308204b2300b0609608648016503040402038204a100', 'hex');
const x25519Head = Buffer.from('302a300506032b656e032100', 'hex');

export interface HybridShare {
  /** ML-KEM ciphertext ‖ X25519 public key. */
  readonly serverValue: Buffer;
  readonly sharedSecret: Buffer;
}

export interface HybridOffer {
  /** ML-KEM public key ‖ X25519 public key. */
  readonly clientValue: Buffer;
  /** Throws KexError when the server's value has not the right length or is not a key. */
  finish(serverValue: Buffer): Buffer;
}

function importRaw(head: Buffer, raw: Buffer): KeyObject {
  return createPublicKey({ key: Buffer.concat([head, raw]), format: 'der', type: 'spki' });
}

function rawOf(head: Buffer, key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' }).subarray(head.length);
}

/** Keys for one exchange, which go with it. */
export function initiate(): HybridOffer {
  const mlkem = generateKeyPairSync('ml-kem-768');
  const curve = generateKeyPairSync('x25519');
  const clientValue = Buffer.concat([
    rawOf(mlkemHead, mlkem.publicKey),
    rawOf(x25519Head, curve.publicKey),
  ]);
  return {
    clientValue,
    finish(serverValue) {
      if (serverValue.length !== mlkemCiphertextBytes + x25519Bytes) {
        throw new KexError(`mlkem768x25519-sha256: server value of ${serverValue.length} bytes`);
      }
      try {
        const first = decapsulate(mlkem.privateKey, serverValue.subarray(0, mlkemCiphertextBytes));
        const second = diffieHellman({
          privateKey: curve.privateKey,
          publicKey: importRaw(x25519Head, serverValue.subarray(mlkemCiphertextBytes)),
        });
        return createHash('sha256').update(first).update(second).digest();
      } catch (cause) {
        throw new KexError('mlkem768x25519-sha256: the server value is not a key', { cause });
      }
    },
  };
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
    return {
      serverValue: Buffer.concat([mlkem.ciphertext, rawOf(x25519Head, own.publicKey)]),
      sharedSecret: createHash('sha256').update(mlkem.sharedKey).update(secret).digest(),
    };
  } catch (cause) {
    throw new KexError('mlkem768x25519-sha256: the client value is not a key', { cause });
  }
}
