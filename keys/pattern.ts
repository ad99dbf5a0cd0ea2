/**
 * Patterns of ssh_config(5) PATTERNS: `*`, `?`, comma lists with `!`, and CIDR networks, as used by
 * from=, AllowUsers and the like. Every text may come from a stranger: matching takes at most
 * pattern × text steps. Runs in: monitor.
 */
import { isIP } from 'node:net';

/** `*` any run, `?` one character; the whole text. Two cursors, no recursion. */
export function matchesPattern(text: string, pattern: string): boolean {
  let at = 0;
  let patternAt = 0;
  let starAt = -1;
  let resumeAt = 0;
  while (at < text.length) {
    const wanted = pattern[patternAt];
    if (wanted === '*') {
      starAt = patternAt++;
      resumeAt = at;
    } else if (wanted !== undefined && (wanted === '?' || wanted === text[at])) {
      at++;
      patternAt++;
    } else if (starAt >= 0) {
      patternAt = starAt + 1;
      at = ++resumeAt;
    } else {
      return false;
    }
  }
  while (pattern[patternAt] === '*') {
    patternAt++;
  }
  return patternAt === pattern.length;
}

/** `negated`: a `!` entry hit, whatever else does. `invalid`: a network with host bits, say. */
export type ListResult = 'match' | 'none' | 'negated' | 'invalid';

function matchesList(list: string, hits: (entry: string) => boolean | 'invalid'): ListResult {
  let result: ListResult = 'none';
  for (const entry of list.split(',')) {
    const isNegated = entry.startsWith('!');
    const hit = hits(isNegated ? entry.slice(1) : entry);
    if (hit === 'invalid') {
      return 'invalid';
    }
    if (hit && isNegated) {
      return 'negated';
    }
    if (hit) {
      result = 'match';
    }
  }
  return result;
}

/** A list of only negations never matches. */
export function matchPatternList(text: string, list: string): ListResult {
  return matchesList(list, (entry) => matchesPattern(text, entry));
}

export interface Network {
  readonly version: 4 | 6;
  readonly value: bigint;
  readonly hostBits: bigint;
}

/** The address as a number. `address` is one: `isIP` has said so. */
function addressValue(address: string, version: 4 | 6): bigint {
  if (version === 4) {
    return BigInt(address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0));
  }
  const v4 = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const [, before, ...parts] = v4 ?? [];
  const [a = 0, b = 0, c = 0, d = 0] = parts.map(Number);
  const plain =
    v4 === null ? address : `${before}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  const [head = '', tail] = plain.split('::') as [string, string?];
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = '0'.repeat(4 * (8 - left.length - right.length));
  const groups = [...left, '', ...right].map((group) => group.padStart(4, '0'));
  groups[left.length] = tail === undefined ? '' : zeros;
  return BigInt(`0x${groups.join('')}`);
}

/** Undefined: not an address or network at all. `invalid`: host bits set or too long a mask. */
export function parseNetwork(text: string): Network | 'invalid' | undefined {
  const [address = '', mask, ...more] = text.split('/', 3);
  const version = isIP(address) as 0 | 4 | 6;
  if (version === 0 || more.length > 0 || address.includes('%')) {
    return undefined;
  }
  const widthBits = version === 4 ? 32 : 128;
  if (mask !== undefined && !/^[0-9]{1,3}$/.test(mask)) {
    return undefined;
  }
  const prefixBits = mask === undefined ? widthBits : Number(mask);
  if (prefixBits > widthBits) {
    return 'invalid';
  }
  const hostBits = BigInt(widthBits - prefixBits);
  const value = addressValue(address, version);
  return (value >> hostBits) << hostBits === value ? { version, value, hostBits } : 'invalid';
}

/**
 * Names the block of addresses that `address` is in: those that begin with the same bits. Undefined:
 * it is no address.
 */
export function addressBlock(
  address: string,
  { bits4, bits6 }: { readonly bits4: number; readonly bits6: number },
): { readonly version: 4 | 6; readonly key: string; readonly bits: number } | undefined {
  const version = isIP(address) as 0 | 4 | 6;
  if (version === 0 || address.includes('%')) {
    return undefined;
  }
  const [bits, width] = version === 4 ? [bits4, 32] : [bits6, 128];
  const key = (addressValue(address, version) >> BigInt(width - bits)).toString(16);
  return { version, key, bits };
}

/** Networks where an entry is one, else the address as text against the pattern. */
export function matchAddressList(address: string, list: string): ListResult {
  const own = parseNetwork(address);
  return matchesList(list, (entry) => {
    const network = parseNetwork(entry);
    if (network === undefined) {
      return matchesPattern(address, entry);
    }
    if (network === 'invalid' || own === undefined || own === 'invalid') {
      return network === 'invalid' ? 'invalid' : false;
    }
    return (
      own.version === network.version &&
      own.value >> network.hostBits === network.value >> network.hostBits
    );
  });
}

/**
 * As sshd's from=: the list is tried on the address and on the name; a negated hit of either is no.
 * Without name look-ups `host` is the address.
 */
export function matchHostAndAddress(host: string, address: string, list: string): ListResult {
  const byAddress = matchAddressList(address, list);
  if (byAddress === 'invalid' || byAddress === 'negated') {
    return byAddress;
  }
  const byName = matchPatternList(host.toLowerCase(), list.toLowerCase());
  if (byName === 'negated') {
    return byName;
  }
  return byAddress === 'match' || byName === 'match' ? 'match' : 'none';
}

const maxListedAddresses = 512;

/** Only addresses and networks, no patterns and no `!` (source-address of a certificate). */
function networksOf(list: string): readonly Network[] | undefined {
  const entries = list.split(',', maxListedAddresses + 1);
  const networks = entries.map((entry) => parseNetwork(entry));
  return entries.length <= maxListedAddresses &&
    networks.every((network) => network !== undefined && network !== 'invalid')
    ? networks
    : undefined;
}

export function isValidNetworkList(list: string): boolean {
  return networksOf(list) !== undefined;
}

/** A list that is not one matches nothing. */
export function matchNetworkList(address: string, list: string): boolean {
  const own = parseNetwork(address);
  if (own === undefined || own === 'invalid') {
    return false;
  }
  return (networksOf(list) ?? []).some(
    (network) =>
      own.version === network.version &&
      own.value >> network.hostBits === network.value >> network.hostBits,
  );
}

/** Whether every entry of an address list can be understood at all. */
export function isValidAddressList(list: string): boolean {
  return matchAddressList('0.0.0.0', list) !== 'invalid';
}

/**
 * `user`, `user@host` of AllowUsers: the part behind the last `@` is a list of hosts and networks.
 * Addresses with an IPv4-mapped IPv6 form must come unmapped.
 */
export function matchUserPattern(
  user: string,
  host: string,
  address: string,
  pattern: string,
): ListResult {
  const at = pattern.lastIndexOf('@');
  if (at < 0) {
    return matchesPattern(user, pattern) ? 'match' : 'none';
  }
  const byHost = matchHostAndAddress(host, address, pattern.slice(at + 1));
  if (byHost === 'invalid') {
    return 'invalid';
  }
  return byHost === 'match' && matchesPattern(user, pattern.slice(0, at)) ? 'match' : 'none';
}
