/**
 * The client's side of the negotiation (RFC 4253 §7.1): its own order decides. The server's list is
 * shown in what is refused, as ssh shows it. Pure. Runs in: user.
 */
import { cipherAlgorithms } from '../wire/algorithms.ts';
import type { KexInit } from '../transport/negotiation.ts';
import { ClientFailure } from './failure.ts';

/** Without the announcements, most wanted first. */
export interface ClientOffer {
  readonly kex: readonly string[];
  readonly hostKey: readonly string[];
  readonly cipher: readonly string[];
  readonly mac: readonly string[];
}

export interface Agreement {
  readonly kex: string;
  readonly hostKey: string;
  /** RFC 4253 §7: the server's next packet is of a method that was not chosen. */
  readonly isWrongGuess: boolean;
}

const maxShownChars = 1024;

function agree(what: string, ours: readonly string[], theirs: readonly string[]): string {
  const name = ours.find((candidate) => theirs.includes(candidate));
  if (name === undefined) {
    const offer = theirs.join(',').slice(0, maxShownChars);
    throw new ClientFailure('connection', `no matching ${what} found. Their offer: ${offer}`);
  }
  return name;
}

/** Throws ClientFailure `connection`. */
export function agreeWith(offer: ClientOffer, peer: KexInit): Agreement {
  const kex = agree('key exchange method', offer.kex, peer.kex);
  const hostKey = agree('host key type', offer.hostKey, peer.serverHostKey);
  for (const [ciphers, macs] of [
    [peer.cipherToServer, peer.macToServer],
    [peer.cipherToClient, peer.macToClient],
  ] as const) {
    const cipher = agree('cipher', offer.cipher, ciphers);
    if (cipherAlgorithms.find(({ name }) => name === cipher)?.authenticates !== true) {
      agree('MAC', offer.mac, macs);
    }
  }
  const isRightGuess = peer.kex[0] === offer.kex[0] && peer.serverHostKey[0] === offer.hostKey[0];
  return { kex, hostKey, isWrongGuess: peer.firstKexPacketFollows && !isRightGuess };
}
