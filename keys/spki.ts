/**
 * SubjectPublicKeyInfo (RFC 5280 §4.1.2.7, RFC 3279, RFC 5480, RFC 8410) as the blob that SSH has for
 * the same key. By bytes alone: no key of a stranger gets to a library of arithmetic here.
 * Runs in: monitor, user.
 */
import { DerReader, derTag, objectIdentifier, unsignedInteger, wholeBytes } from './der.ts';
import { Writer } from '../src/ssh/wire/writer.ts';

const rsaEncryption = '1.2.840.113549.1.1.1';
const ecPublicKey = '1.2.840.10045.2.1';
const ed25519 = '1.3.101.112';
const curves: Readonly<Record<string, string>> = {
  '1.2.840.10045.3.1.7': 'nistp256',
  '1.3.132.0.34': 'nistp384',
  '1.3.132.0.35': 'nistp521',
};
const maxModulusBytes = 2048;
const maxExponentBytes = 8;

/** RFC 4251 §5. */
function mpint(magnitude: Buffer): Buffer {
  return (magnitude[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), magnitude]) : magnitude;
}

function rsaBlob(bytes: Buffer): Buffer {
  const outer = new DerReader(bytes);
  const fields = outer.sequence('an RSA key');
  outer.end('an RSA key');
  const read = (most: number): Buffer =>
    unsignedInteger(fields.take(derTag.integer, 'an RSA key').content, 'an RSA key', most);
  const modulus = read(maxModulusBytes);
  const exponent = read(maxExponentBytes);
  fields.end('an RSA key');
  return new Writer().text('ssh-rsa').string(mpint(exponent)).string(mpint(modulus)).done();
}

/** undefined: a key of a kind that SSH has no name for. Throws DerError for what is malformed. */
export function blobOfSpki(spki: Buffer): Buffer | undefined {
  const outer = new DerReader(spki);
  const from = outer.sequence('a public key');
  outer.end('a public key');
  const algorithm = from.sequence('a public key');
  const type = objectIdentifier(algorithm.take(derTag.objectIdentifier, 'a public key').content);
  const parameters = algorithm.isAtEnd ? undefined : algorithm.value();
  algorithm.end('a public key');
  const bytes = wholeBytes(from.take(derTag.bitString, 'a public key').content, 'a public key');
  from.end('a public key');
  switch (type) {
    case rsaEncryption:
      return rsaBlob(bytes);
    case ecPublicKey: {
      const curve =
        parameters?.tag === derTag.objectIdentifier
          ? curves[objectIdentifier(parameters.content)]
          : undefined;
      return curve === undefined
        ? undefined
        : new Writer().text(`ecdsa-sha2-${curve}`).text(curve).string(bytes).done();
    }
    case ed25519:
      return new Writer().text('ssh-ed25519').string(bytes).done();
    default:
      return undefined;
  }
}
