/**
 * The numbers of PKCS#11 v2.40 and v3.0 that are used here, and what results mean to a person. Pure.
 * Runs in: card, user (client), monitor (host keys).
 */

export const objectClass = { certificate: 1, publicKey: 2, privateKey: 3 } as const;

export const keyType = { rsa: 0, ec: 3, edwards: 0x40 } as const;

export const attribute = {
  class: 0x000,
  label: 0x003,
  value: 0x011,
  certificateType: 0x080,
  keyType: 0x100,
  id: 0x102,
  sign: 0x108,
  modulus: 0x120,
  publicExponent: 0x122,
  ecParams: 0x180,
  ecPoint: 0x181,
  alwaysAuthenticate: 0x202,
} as const;

export const mechanism = {
  rsaPkcs: 0x001,
  sha256RsaPkcs: 0x040,
  sha512RsaPkcs: 0x042,
  ecdsa: 0x1041,
  ecdsaSha256: 0x1044,
  ecdsaSha384: 0x1045,
  ecdsaSha512: 0x1046,
  eddsa: 0x1057,
} as const;

export const tokenFlag = {
  loginRequired: 0x0000_0004,
  initialized: 0x0000_0400,
  protectedAuthenticationPath: 0x0000_0100,
  userPinCountLow: 0x0001_0000,
  userPinFinalTry: 0x0002_0000,
  userPinLocked: 0x0004_0000,
} as const;

export const userType = { user: 1, contextSpecific: 2 } as const;

export const result = {
  generalError: 0x005,
  functionFailed: 0x006,
  attributeSensitive: 0x011,
  attributeTypeInvalid: 0x012,
  deviceError: 0x030,
  deviceRemoved: 0x032,
  functionCanceled: 0x050,
  functionNotSupported: 0x054,
  keyHandleInvalid: 0x060,
  objectHandleInvalid: 0x082,
  pinIncorrect: 0x0a0,
  pinInvalid: 0x0a1,
  pinLengthRange: 0x0a2,
  pinExpired: 0x0a3,
  pinLocked: 0x0a4,
  sessionClosed: 0x0b0,
  sessionHandleInvalid: 0x0b3,
  slotIdInvalid: 0x003,
  tokenNotPresent: 0x0e0,
  tokenNotRecognized: 0x0e1,
  userAlreadyLoggedIn: 0x100,
  userNotLoggedIn: 0x101,
  userPinNotInitialized: 0x102,
  bufferTooSmall: 0x150,
  cryptokiAlreadyInitialized: 0x191,
} as const;

/** `CKR_PIN_LOCKED` out of `pinLocked`; the number for those that have no row. */
export function resultName(code: number): string {
  const row = Object.entries(result).find(([, value]) => value === code);
  return row === undefined
    ? `CKR 0x${code.toString(16).padStart(8, '0')}`
    : `CKR_${row[0].replace(/[A-Z]/g, '_$&').toUpperCase()}`;
}

/** A card that is pulled shows itself as any of these, depending on the module and the moment. */
const gone: ReadonlySet<number> = new Set([
  result.deviceRemoved,
  result.tokenNotPresent,
  result.sessionClosed,
  result.sessionHandleInvalid,
  result.slotIdInvalid,
]);

export function isGone(code: number): boolean {
  return gone.has(code);
}
