/**
 * What is said to the card process, which has the PKCS#11 module in it: the frames are those of
 * `src/ssh/wire/call.ts` over an unnamed socket pair. A failure carries a CK_RV, or one of `failure`.
 * Declarations only. Runs in: card, user (client), monitor (host keys).
 */
import { bool, list, record, string, text, uint32 } from '../../src/ssh/wire/field.ts';
import { call } from '../../src/ssh/wire/call.ts';

/** No CK_RV of the standard or of a vendor (0x80000000 and up) has these numbers. */
export const failure = { refused: 0x7fff_0001, unloadable: 0x7fff_0002, broken: 0x7fff_0003 };

export const maxTokens = 32;
export const maxMechanisms = 512;
/** Of one token; what it has beyond is not looked at. */
export const maxObjects = 256;
export const maxObjectsPerReply = 8;
/** A modulus of 16384 bits, a certificate. */
export const maxAttributeBytes = 8 * 1024;
export const maxPinBytes = 256;

/** The slot of a token, a key, a session: a CK_ULONG of the machine, never looked into. */
const handle = string;

const token = record({
  slot: handle,
  label: text,
  manufacturer: text,
  model: text,
  serial: text,
  flags: uint32,
  mechanisms: list(uint32, maxMechanisms),
});

/** What is not there is empty. */
const cardObject = record({
  class: uint32,
  id: string,
  label: text,
  keyType: uint32,
  modulus: string,
  publicExponent: string,
  ecParams: string,
  ecPoint: string,
  /** X.509 in DER. */
  certificate: string,
});

/** Once, before anything else: checks the file and loads it. */
export const load = call(1, 'load', { path: text }, { resolved: text });
export const tokens = call(2, 'tokens', {}, { tokens: list(token, maxTokens) });
/** In pages, for one frame would not hold all. */
export const objects = call(
  3,
  'objects',
  { slot: handle, from: uint32 },
  { objects: list(cardObject, maxObjectsPerReply), isMore: bool },
);
/** An empty PIN: the reader asks for it on its own pad. */
export const logIn = call(4, 'log-in', { slot: handle, pin: string }, {});
export const findKey = call(
  5,
  'find-key',
  { slot: handle, id: string, label: text, keyType: uint32 },
  { key: handle, isAlwaysAuthenticate: bool },
);
/** `isContextLogin`: the PIN is given anew between C_SignInit and C_Sign (CKA_ALWAYS_AUTHENTICATE). */
export const sign = call(
  6,
  'sign',
  {
    slot: handle,
    key: handle,
    mechanism: uint32,
    data: string,
    isContextLogin: bool,
    pin: string,
  },
  { signature: string, microseconds: uint32 },
);
/** C_Finalize, which ends sessions and what was unlocked for them. */
export const finalize = call(7, 'finalize', {}, {});
