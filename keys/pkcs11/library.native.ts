/**
 * One PKCS#11 module, loaded: the calls that are made of it, each blocking for as long as the card
 * takes. Failures are `CallFailure` with the CK_RV. Runs in: card.
 */
import pkcs11js from 'pkcs11js';
import { addon } from '../../src/base/addon.native.ts';
import { CallFailure } from '../../src/ssh/wire/peer.ts';
import {
  failure,
  maxAttributeBytes,
  maxMechanisms,
  maxObjects,
  maxPinBytes,
  maxTokens,
} from './calls.ts';
import {
  attribute,
  keyType,
  objectClass,
  result,
  resultName,
  tokenFlag,
  userType,
} from './cryptoki.ts';

export interface TokenRecord {
  readonly slot: Buffer;
  readonly label: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly serial: string;
  readonly flags: number;
  readonly mechanisms: readonly number[];
}

export interface ObjectRecord {
  readonly class: number;
  readonly id: Buffer;
  readonly label: string;
  readonly keyType: number;
  readonly modulus: Buffer;
  readonly publicExponent: Buffer;
  readonly ecParams: Buffer;
  readonly ecPoint: Buffer;
  readonly certificate: Buffer;
}

interface SigningKey {
  readonly key: Buffer;
  readonly isAlwaysAuthenticate: boolean;
}

const none = Buffer.alloc(0);
const handlesPerFind = 32;
/** RSA of 16384 bits. */
const maxSignatureBytes = 2048;
const maxTextChars = 256;
const classes = [objectClass.publicKey, objectClass.certificate, objectClass.privateKey] as const;

export class Library {
  readonly #cryptoki = new pkcs11js.PKCS11();
  readonly #sessions = new Map<string, Buffer>();
  readonly #path: string;

  /** Loading runs code of the module: the file has been checked. */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#cryptoki.load(path);
    } catch (error) {
      throw new CallFailure(failure.unloadable, firstLine(error));
    }
    try {
      this.#call(() => this.#cryptoki.C_Initialize());
    } catch (error) {
      if (!isResult(error, result.cryptokiAlreadyInitialized)) throw error;
    }
  }

  tokens(): TokenRecord[] {
    const found: TokenRecord[] = [];
    for (const slot of this.#slots().slice(0, maxTokens)) {
      try {
        const token = this.#token(slot);
        if ((token.flags & tokenFlag.initialized) !== 0) found.push(token);
      } catch (error) {
        // Pulled since the list was made: no reason to go without the others.
        if (!(error instanceof CallFailure)) throw error;
      }
    }
    return found;
  }

  #slots(): Buffer[] {
    try {
      return this.#call(() => this.#cryptoki.C_GetSlotList(true));
    } catch (error) {
      // One more has come between the two calls that make a list.
      if (!isResult(error, result.bufferTooSmall)) throw error;
      return this.#call(() => this.#cryptoki.C_GetSlotList(true));
    }
  }

  #token(slot: Buffer): TokenRecord {
    const info = this.#call(() => this.#cryptoki.C_GetTokenInfo(slot));
    return {
      slot,
      label: textOf(info.label),
      manufacturer: textOf(info.manufacturerID),
      model: textOf(info.model),
      serial: textOf(info.serialNumber),
      flags: info.flags,
      mechanisms: this.#call(() => this.#cryptoki.C_GetMechanismList(slot)).slice(0, maxMechanisms),
    };
  }

  objects(slot: Buffer): ObjectRecord[] {
    const session = this.#session(slot);
    return classes.flatMap((one) =>
      this.#find(session, [{ type: attribute.class, value: one }]).map((object) =>
        this.#object(session, object, one),
      ),
    );
  }

  #session(slot: Buffer): Buffer {
    const name = slot.toString('hex');
    const open = this.#sessions.get(name);
    if (open !== undefined) return open;
    const session = this.#call(() =>
      this.#cryptoki.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION),
    );
    this.#sessions.set(name, session);
    return session;
  }

  #find(session: Buffer, template: pkcs11js.Template): Buffer[] {
    const found: Buffer[] = [];
    this.#call(() => this.#cryptoki.C_FindObjectsInit(session, template));
    try {
      while (found.length < maxObjects) {
        const some = this.#call(() => this.#cryptoki.C_FindObjects(session, handlesPerFind));
        if (some.length === 0) break;
        found.push(...some);
      }
    } finally {
      this.#call(() => this.#cryptoki.C_FindObjectsFinal(session));
    }
    return found.slice(0, maxObjects);
  }

  #object(session: Buffer, object: Buffer, one: number): ObjectRecord {
    const read = (...types: readonly number[]) => this.#attributes(session, object, types);
    const [label, id] = read(attribute.label, attribute.id);
    const isCertificate = one === objectClass.certificate;
    const [type = none] = isCertificate ? [none] : read(attribute.keyType);
    const kind = type.length >= 4 ? type.readUInt32LE(0) : 0xffff_ffff;
    const isPublic = one === objectClass.publicKey;
    const [modulus, publicExponent] =
      isPublic && kind === keyType.rsa ? read(attribute.modulus, attribute.publicExponent) : [];
    const isCurve = kind === keyType.ec || kind === keyType.edwards;
    const [ecParams, ecPoint] =
      isPublic && isCurve ? read(attribute.ecParams, attribute.ecPoint) : [];
    const [certificate] = isCertificate ? read(attribute.value) : [];
    return {
      class: one,
      id: id ?? none,
      label: textOf((label ?? none).toString('utf8')),
      keyType: kind,
      modulus: modulus ?? none,
      publicExponent: publicExponent ?? none,
      ecParams: ecParams ?? none,
      ecPoint: ecPoint ?? none,
      certificate: certificate ?? none,
    };
  }

  /** All at once, or one by one where one of them is not there: then its place is empty. */
  #attributes(session: Buffer, object: Buffer, types: readonly number[]): Buffer[] {
    try {
      const template = types.map((type) => ({ type }));
      const values = this.#call(() =>
        this.#cryptoki.C_GetAttributeValue(session, object, template),
      );
      return values.map(({ value }) => {
        return Buffer.isBuffer(value) && value.length <= maxAttributeBytes ? value : none;
      });
    } catch (error) {
      const isMissing =
        isResult(error, result.attributeTypeInvalid) || isResult(error, result.attributeSensitive);
      if (!isMissing) throw error;
      return types.length === 1
        ? [none]
        : types.flatMap((type) => this.#attributes(session, object, [type]));
    }
  }

  logIn(slot: Buffer, pin: Buffer): void {
    this.#logIn(this.#session(slot), userType.user, pin);
  }

  #logIn(session: Buffer, type: number, pin: Buffer): void {
    if (pin.length > maxPinBytes) {
      throw new CallFailure(result.pinLengthRange, resultName(result.pinLengthRange));
    }
    const code = addon.cryptokiLogin(this.#path, session, type, pin);
    if (code !== 0 && code !== result.userAlreadyLoggedIn) {
      throw new CallFailure(code, resultName(code));
    }
  }

  /** The private half; of several with the same id the one with that label. */
  findKey(slot: Buffer, id: Buffer, label: string, kind: number): SigningKey {
    const session = this.#session(slot);
    const template = [
      { type: attribute.class, value: objectClass.privateKey },
      { type: attribute.id, value: id },
    ];
    const fitting = this.#find(session, template).filter((object) => {
      const [type = none] = this.#attributes(session, object, [attribute.keyType]);
      return type.length >= 4 && type.readUInt32LE(0) === kind;
    });
    const labelOf = (object: Buffer) =>
      textOf((this.#attributes(session, object, [attribute.label])[0] ?? none).toString('utf8'));
    const key =
      fitting.length > 1
        ? (fitting.find((object) => labelOf(object) === label) ?? fitting[0])
        : fitting[0];
    if (key === undefined) {
      throw new CallFailure(result.keyHandleInvalid, resultName(result.keyHandleInvalid));
    }
    const [always = none] = this.#attributes(session, key, [attribute.alwaysAuthenticate]);
    return { key, isAlwaysAuthenticate: always.length > 0 && always[0] !== 0 };
  }

  sign(slot: Buffer, key: Buffer, kind: number, data: Buffer, contextPin: Buffer | undefined) {
    const session = this.#session(slot);
    this.#call(() => this.#cryptoki.C_SignInit(session, { mechanism: kind }, key));
    if (contextPin !== undefined) this.#logIn(session, userType.contextSpecific, contextPin);
    const began = process.hrtime.bigint();
    const signature = this.#call(() =>
      this.#cryptoki.C_Sign(session, data, Buffer.alloc(maxSignatureBytes)),
    );
    const microseconds = Number((process.hrtime.bigint() - began) / 1000n) >>> 0;
    return { signature, microseconds };
  }

  finalize(): void {
    this.#call(() => this.#cryptoki.C_Finalize());
  }

  #call<Value>(run: () => Value): Value {
    try {
      return run();
    } catch (error) {
      throw failureOf(error);
    }
  }
}

/** The package wraps some of its errors and not others: the text `CKR_NAME:number` is in all. */
function failureOf(error: unknown): Error {
  const { message, code, stack = '' } = error as Error & { code?: unknown };
  const [, name, number] = /\b(CKR_[A-Z0-9_]+):(\d+)/.exec(stack) ?? [];
  const value = typeof code === 'number' && code > 0 ? code : Number(number ?? 0);
  if (value === 0) return new CallFailure(failure.broken, firstLine(error));
  return new CallFailure(value, name ?? (message.startsWith('CKR_') ? message : resultName(value)));
}

function isResult(error: unknown, code: number): boolean {
  return error instanceof CallFailure && error.code === code;
}

function firstLine(error: unknown): string {
  return String((error as Error).message)
    .split('\n', 1)
    .join('')
    .slice(0, 1024);
}

/** Padded with blanks in the structures of PKCS#11, and from a stranger. */
function textOf(text: string): string {
  return text.replace(/\0.*$/s, '').trim().slice(0, maxTextChars);
}
