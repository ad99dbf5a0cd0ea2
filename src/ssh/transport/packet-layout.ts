/** Where what stands in an outgoing packet (RFC 4253 §6). Runs in: worker. */
import { record } from './ssh2-protocol.ts';

/** RFC 4253 §6: uint32 packet_length, byte padding_length, payload, at least four of padding, MAC. */
export const payloadAt = 5;
export const leastPadBytes = 4;
export interface PacketLayout {
  readonly blockBytes: number;
  /** packet_length, when it is not encrypted with the rest (AEAD, encrypt-then-MAC). */
  readonly lengthOutsideBytes: number;
  readonly macBytes: number;
}

export function layoutOf(cipher: string, mac: string): PacketLayout | undefined {
  const info = record.CIPHER_INFO[cipher];
  if (info === undefined) {
    return undefined;
  }
  // chacha20 is a stream cipher: its packets are padded to 8 (PROTOCOL.chacha20poly1305).
  const blockBytes = Math.max(8, info.blockLen);
  if (info.authLen > 0) {
    return { blockBytes, lengthOutsideBytes: 4, macBytes: info.authLen };
  }
  const macInfo = record.MAC_INFO[mac];
  return macInfo === undefined
    ? undefined
    : { blockBytes, lengthOutsideBytes: macInfo.isETM ? 4 : 0, macBytes: macInfo.len };
}

export function writeChannelDataHead(
  into: Buffer,
  at: number,
  recipientChannel: number,
  dataBytes: number,
  stderr: boolean,
): void {
  into[at] = stderr ? 95 : 94;
  into.writeUInt32BE(recipientChannel, at + 1);
  if (stderr) {
    into.writeUInt32BE(1, at + 5);
  }
  into.writeUInt32BE(dataBytes, at + (stderr ? 9 : 5));
}
