/**
 * The messages that the transport itself reads and writes (RFC 4253 §11, RFC 8308 §2.3, OpenSSH
 * PROTOCOL §1.10). KEXINIT stands in negotiation.ts. Pure. Runs in: worker.
 */
import { list, record, string, text, uint32 } from '../wire/field.ts';
import { message } from '../wire/message.ts';

/** Texts are bytes: a peer that sends bad UTF-8 while it says goodbye is not worth an error. */
export const Disconnect = message(1, 'DISCONNECT', {
  reason: uint32,
  description: string,
  language: string,
});
export const Unimplemented = message(3, 'UNIMPLEMENTED', { sequence: uint32 });
const maxExtensions = 1024;
export const ExtInfo = message(7, 'EXT_INFO', {
  extensions: list(record({ name: text, value: string }), maxExtensions),
});
export const Ping = message(192, 'PING', { data: string });
export const Pong = message(193, 'PONG', { data: string });

/** EXT_INFO of a server: server-sig-algs (RFC 8308 §3.1), and what of OpenSSH's it understands. */
export function serverExtensions(signatureAlgorithms: readonly string[]): Buffer {
  const extensions = [
    { name: 'server-sig-algs', value: Buffer.from(signatureAlgorithms.join(',')) },
    { name: 'publickey-hostbound@openssh.com', value: Buffer.from('0') },
    { name: 'ping@openssh.com', value: Buffer.from('0') },
  ];
  return ExtInfo.encode({ extensions });
}
