/**
 * The peer's KEXINIT (RFC 4253 §7.1): parsed, the key exchange method chosen, a wrong guess seen.
 * Pure. Runs in: worker.
 */
import { KexError } from '../../base/errors.ts';
import { bool, type Field, nameList, uint32 } from '../wire/field.ts';
import { message, type MessageOf } from '../wire/message.ts';

const cookie: Field<Buffer> = {
  read: (from) => from.bytes(16),
  write: (to, value) => void to.raw(value),
};

export const KexInit = message(20, 'KEXINIT', {
  cookie,
  kex: nameList,
  serverHostKey: nameList,
  cipherToServer: nameList,
  cipherToClient: nameList,
  macToServer: nameList,
  macToClient: nameList,
  compressionToServer: nameList,
  compressionToClient: nameList,
  languagesToServer: nameList,
  languagesToClient: nameList,
  firstKexPacketFollows: bool,
  reserved: uint32,
});
export type KexInit = MessageOf<typeof KexInit>;

/** Names in the kex list that are announcements, never methods (RFC 8308 §2.1, OpenSSH PROTOCOL). */
export const clientExtInfo = 'ext-info-c';
export const serverExtInfo = 'ext-info-s';
export const clientStrictKex = 'kex-strict-c-v00@openssh.com';

export interface KexOffer {
  /** Without the announcements; order of preference. */
  readonly kex: readonly string[];
  readonly serverHostKey: readonly string[];
}

export interface KexChoice {
  readonly kex: string;
  readonly clientWantsExtInfo: boolean;
  /** RFC 4253 §7: a packet follows that was made for another method and is to be dropped. */
  readonly wrongGuess: boolean;
}

export function chooseKex(offer: KexOffer, peer: KexInit): KexChoice {
  const kex = peer.kex.find((name) => offer.kex.includes(name));
  if (kex === undefined) {
    throw new KexError(`no matching key exchange method; the peer offers ${peer.kex.join(',')}`);
  }
  const isRightGuess =
    peer.kex[0] === offer.kex[0] && peer.serverHostKey[0] === offer.serverHostKey[0];
  return {
    kex,
    clientWantsExtInfo: peer.kex.includes(clientExtInfo),
    wrongGuess: peer.firstKexPacketFollows && !isRightGuess,
  };
}
