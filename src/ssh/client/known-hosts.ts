/**
 * known_hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): plain, hashed and marked entries, those of one
 * host, the line for a new one. What a key is to them: host-trust.ts. Pure. Runs in: user.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { matchesPatternList } from './glob.ts';

export interface KnownHostEntry {
  readonly source: string;
  readonly line: number;
  readonly marker: 'none' | 'revoked' | 'cert-authority';
  readonly hosts: string;
  readonly keyType: string;
  readonly blob: Buffer;
}

const maxLineChars = 16 * 1024;

/** Lines that do not parse are skipped, as every client does: one bad line must not hide the rest. */
export function parseKnownHosts(text: string, source: string): KnownHostEntry[] {
  const entries: KnownHostEntry[] = [];
  let number = 0;
  for (const line of text.split('\n')) {
    number += 1;
    const entry = line.length > maxLineChars ? undefined : parseLine(line, source, number);
    if (entry) entries.push(entry);
  }
  return entries;
}

function parseLine(text: string, source: string, line: number): KnownHostEntry | undefined {
  const fields = text.trim().split(/[ \t]+/);
  if (fields[0] === '' || fields[0]?.startsWith('#')) return undefined;
  let marker: KnownHostEntry['marker'] = 'none';
  if (fields[0]?.startsWith('@')) {
    if (fields[0] === '@revoked') marker = 'revoked';
    else if (fields[0] === '@cert-authority') marker = 'cert-authority';
    else return undefined;
    fields.shift();
  }
  const [hosts, keyType, encoded] = fields;
  if (hosts === undefined || keyType === undefined || encoded === undefined) return undefined;
  // `Buffer.from` would skip what is no base64, a NUL for one.
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) return undefined;
  const blob = Buffer.from(encoded, 'base64');
  if (hostKeyType(blob) !== keyType) return undefined;
  return { source, line, marker, hosts, keyType, blob };
}

/** The type that a key blob names (RFC 4253 §6.6); empty when it is not a key. */
export function hostKeyType(blob: Buffer): string {
  if (blob.length < 4) return '';
  const length = blob.readUInt32BE(0);
  return length > 64 || blob.length < 4 + length ? '' : blob.toString('latin1', 4, 4 + length);
}

/** The name under which a host is looked up: `[host]:port` unless the port is 22. */
export function knownHostName(host: string, port: number): string {
  const name = host.toLowerCase();
  return port === 22 ? name : `[${name}]:${port}`;
}

function matchesHost(entry: KnownHostEntry, name: string): boolean {
  if (!entry.hosts.startsWith('|'))
    return matchesPatternList(name, entry.hosts.toLowerCase().split(','));
  const [, version, salt, expected] = entry.hosts.split('|');
  if (version !== '1' || salt === undefined || expected === undefined) return false;
  const wanted = Buffer.from(expected, 'base64');
  const got = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest();
  return wanted.length === got.length && timingSafeEqual(wanted, got);
}

export function entriesOf(entries: readonly KnownHostEntry[], name: string): KnownHostEntry[] {
  return entries.filter((entry) => matchesHost(entry, name));
}

/** A line for a new key, with its newline. `salt` is given by tests only. */
export function knownHostLine(
  name: string,
  blob: Buffer,
  isHashed: boolean,
  salt: Buffer = randomBytes(20),
): string {
  const hosts = isHashed
    ? `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`
    : name;
  return `${hosts} ${hostKeyType(blob)} ${blob.toString('base64')}\n`;
}

/** `SHA256:…` as ssh-keygen -l prints it. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}
