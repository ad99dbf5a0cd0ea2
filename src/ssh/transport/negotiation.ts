/**
 * The peer's KEXINIT (RFC 4253 §7.1): parsed, the key exchange method chosen, a wrong guess seen.
 * Pure. Runs in: worker.
 */
import { NoAgreement } from '../../base/errors.ts';
import { cipherAlgorithms } from '../wire/algorithms.ts';
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
  readonly cipher: readonly string[];
  readonly mac: readonly string[];
  readonly compress: readonly string[];
}

export interface KexChoice {
  readonly kex: string;
  readonly clientWantsExtInfo: boolean;
  /** RFC 4253 §7: a packet follows that was made for another method and is to be dropped. */
  readonly wrongGuess: boolean;
}

/** RFC 4253 §7.1: the first of the client's that the server has. Throws NoAgreement. */
function agree(what: string, client: readonly string[], server: readonly string[]): string {
  const name = client.find((candidate) => server.includes(candidate));
  if (name === undefined) {
    throw new NoAgreement(`no matching ${what} found. Their offer: ${client.join(',')}`);
  }
  return name;
}

/** In the order in which sshd looks, so that its log names the same. */
function agreeOnDirection(
  offer: KexOffer,
  cipher: readonly string[],
  mac: readonly string[],
  compress: readonly string[],
): void {
  const chosen = agree('cipher', cipher, offer.cipher);
  if (cipherAlgorithms.find(({ name }) => name === chosen)?.authenticates !== true) {
    agree('MAC', mac, offer.mac);
  }
  agree('compression method', compress, offer.compress);
}

export function chooseKex(offer: KexOffer, peer: KexInit): KexChoice {
  const kex = agree('key exchange method', peer.kex, offer.kex);
  agree('host key type', peer.serverHostKey, offer.serverHostKey);
  agreeOnDirection(offer, peer.cipherToServer, peer.macToServer, peer.compressionToServer);
  agreeOnDirection(offer, peer.cipherToClient, peer.macToClient, peer.compressionToClient);
  const isRightGuess =
    peer.kex[0] === offer.kex[0] && peer.serverHostKey[0] === offer.serverHostKey[0];
  return {
    kex,
    clientWantsExtInfo: peer.kex.includes(clientExtInfo),
    wrongGuess: peer.firstKexPacketFollows && !isRightGuess,
  };
}

/** The peer's KEXINIT with one method alone and no guess; its announcements stay. */
export function shownKexInit(peer: KexInit, kex: string): Buffer {
  const announced = [clientExtInfo, clientStrictKex].filter((name) => peer.kex.includes(name));
  return KexInit.encode({ ...peer, kex: [kex, ...announced], firstKexPacketFollows: false });
}
