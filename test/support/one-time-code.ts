/** One-time codes as a telephone shows them. Runs in: test. */
import { createHmac } from 'node:crypto';

const base32Digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** RFC 6238 with SHA-1, 30 seconds, 6 digits; `steps` from now. */
export function totp(secret: Buffer, steps = 0): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const mac = createHmac('sha1', secret).update(counter).digest();
  const at = (mac[19] as number) & 15;
  return String((mac.readUInt32BE(at) & 0x7fff_ffff) % 1_000_000).padStart(6, '0');
}

const stepMs = 30_000;

/** One that is still right a few seconds from now: a server may know the step of its own clock only. */
export async function lastingTotp(secret: Buffer): Promise<string> {
  const leftMs = stepMs - (Date.now() % stepMs);
  if (leftMs < 5_000) {
    await new Promise((resolve) => setTimeout(resolve, leftMs));
  }
  return totp(secret);
}

/** RFC 4648 §6; the length is a multiple of five. */
export function base32(bytes: Buffer): string {
  const bits = [...bytes].map((each) => each.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{5}/g) ?? []).map((five) => base32Digits[Number.parseInt(five, 2)]).join('');
}
