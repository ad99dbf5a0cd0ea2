/**
 * The entries of utmp(5), wtmp and btmp as the C library of this machine lays them out, read without
 * a program that leaves anything out. Runs in: test, in the lab.
 */
import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';

export interface RecordEntry {
  /** 7 USER_PROCESS, 8 DEAD_PROCESS, 6 LOGIN_PROCESS. */
  readonly type: number;
  readonly pid: number;
  readonly line: string;
  readonly id: string;
  readonly user: string;
  readonly host: string;
  /** ut_addr_v6 as hexadecimal digits. */
  readonly address: string;
  readonly atSeconds: number;
}

/** x86_64: 32-bit times for the sake of older programs; elsewhere the structure is larger. */
const entryBytes = process.arch === 'x64' ? 384 : 400;
const place = { line: 8, id: 40, user: 44, host: 76 } as const;
const time = process.arch === 'x64' ? 340 : 344;
const address = process.arch === 'x64' ? 348 : 360;

export function readRecords(file: string): readonly RecordEntry[] {
  const bytes = readFileSync(file);
  if (bytes.length % entryBytes !== 0 || endianness() !== 'LE') {
    throw new Error(`${file}: ${bytes.length} bytes are no whole number of entries`);
  }
  const entries: RecordEntry[] = [];
  for (let at = 0; at < bytes.length; at += entryBytes) {
    const entry = bytes.subarray(at, at + entryBytes);
    const field = (from: number, size: number): string =>
      entry
        .subarray(from, from + size)
        .toString('latin1')
        .split('\0')[0] as string;
    entries.push({
      type: entry.readInt16LE(0),
      pid: entry.readInt32LE(4),
      line: field(place.line, 32),
      id: field(place.id, 4),
      user: field(place.user, 32),
      host: field(place.host, 256),
      address: entry.subarray(address, address + 16).toString('hex'),
      atSeconds: entry.readInt32LE(time),
    });
  }
  return entries;
}
