/** Key revocation lists section by section (OpenSSH's PROTOCOL.krl). Runs in: test. */
import { Writer } from '../../src/ssh/wire/writer.ts';

export function krlHeader(version = 1): Buffer {
  return new Writer()
    .raw(Buffer.from('SSHKRL\n\0', 'latin1'))
    .uint32(version)
    .uint64(3n)
    .uint64(1_700_000_000n)
    .uint64(0n)
    .text('')
    .text('a comment')
    .done();
}

export function section(kind: number, data: Buffer): Buffer {
  return new Writer().byte(kind).string(data).done();
}

export function krl(...sections: readonly Buffer[]): Buffer {
  return Buffer.concat([krlHeader(), ...sections]);
}

/** `authority` empty: every authority. */
export function certificates(authority: Buffer, ...subsections: readonly Buffer[]): Buffer {
  const head = new Writer().string(authority).text('').done();
  return section(1, Buffer.concat([head, ...subsections]));
}

export function serialList(...serials: readonly bigint[]): Buffer {
  const data = new Writer();
  for (const serial of serials) {
    data.uint64(serial);
  }
  return section(0x20, data.done());
}

export function serialRange(first: bigint, last: bigint): Buffer {
  return section(0x21, new Writer().uint64(first).uint64(last).done());
}

/** `bits`: the magnitude, highest byte first. */
export function serialBitmap(offset: bigint, bits: Buffer): Buffer {
  return section(0x22, new Writer().uint64(offset).mpint(bits).done());
}

export function strings(kind: number, ...values: readonly (Buffer | string)[]): Buffer {
  const data = new Writer();
  for (const value of values) {
    data.string(Buffer.from(value as string));
  }
  return section(kind, data.done());
}

export function extension(kind: number, name: string, isCritical: boolean): Buffer {
  return section(kind, new Writer().text(name).bool(isCritical).text('data').done());
}
