/**
 * A FIDO authenticator in software (OpenSSH's PROTOCOL.u2f), whose flags and counter a test chooses:
 * written from the document, with node:crypto alone. Runs in: test.
 */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { Writer } from '../../src/ssh/wire/writer.ts';

export type FidoType = 'sk-ssh-ed25519@openssh.com' | 'sk-ecdsa-sha2-nistp256@openssh.com';

export interface FidoSigning {
  readonly flags?: number;
  readonly counter?: number;
  /** Signs for another application than the key's. */
  readonly application?: string;
}

export interface WebauthnSigning extends FidoSigning {
  readonly origin?: string;
  /** Put in place of what a browser would have written. */
  readonly clientData?: string;
  readonly extensions?: Buffer;
}

const userPresent = 1;

function sha256(data: Buffer | string): Buffer {
  return createHash('sha256').update(data).digest();
}

export class FidoKey {
  readonly type: FidoType;
  readonly application: string;
  readonly #private: KeyObject;
  readonly publicBlob: Buffer;

  constructor(type: FidoType, application = 'ssh:') {
    this.type = type;
    this.application = application;
    const isEd25519 = type === 'sk-ssh-ed25519@openssh.com';
    const pair = isEd25519
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#private = pair.privateKey;
    const jwk = pair.publicKey.export({ format: 'jwk' });
    const part = (name: 'x' | 'y') => Buffer.from(jwk[name] ?? '', 'base64url');
    const blob = new Writer().text(type);
    if (isEd25519) {
      blob.string(part('x'));
    } else {
      blob.text('nistp256').string(Buffer.concat([Buffer.of(4), part('x'), part('y')]));
    }
    this.publicBlob = blob.text(application).done();
  }

  #inner(signed: Buffer): Buffer {
    if (this.type === 'sk-ssh-ed25519@openssh.com') {
      return sign(null, signed, this.#private);
    }
    const raw = sign('sha256', signed, { key: this.#private, dsaEncoding: 'ieee-p1363' });
    return new Writer().mpint(raw.subarray(0, 32)).mpint(raw.subarray(32)).done();
  }

  /** A signature blob, as `ssh` sends it. */
  sign(data: Buffer, options: FidoSigning = {}): Buffer {
    const { flags = userPresent, counter = 7, application = this.application } = options;
    const signed = new Writer()
      .raw(sha256(application))
      .byte(flags)
      .uint32(counter)
      .raw(sha256(data))
      .done();
    return new Writer()
      .text(this.type)
      .string(this.#inner(signed))
      .byte(flags)
      .uint32(counter)
      .done();
  }

  /** As a browser signs; for the ECDSA type. */
  signWebauthn(data: Buffer, options: WebauthnSigning = {}): Buffer {
    const { flags = userPresent, counter = 7, application = this.application } = options;
    const { origin = 'https://example.org', extensions = Buffer.alloc(0) } = options;
    const clientData =
      options.clientData ??
      `{"type":"webauthn.get","challenge":"${data.toString('base64url')}","origin":"${origin}","crossOrigin":false}`;
    const signed = new Writer()
      .raw(sha256(application))
      .byte(flags)
      .uint32(counter)
      .raw(extensions)
      .raw(sha256(clientData))
      .done();
    return new Writer()
      .text('webauthn-sk-ecdsa-sha2-nistp256@openssh.com')
      .string(this.#inner(signed))
      .byte(flags)
      .uint32(counter)
      .text(origin)
      .text(clientData)
      .string(extensions)
      .done();
  }
}
