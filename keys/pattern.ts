/**
 * Patterns of ssh_config(5) PATTERNS: `*`, `?`, comma lists with `!`, and CIDR networks, as used by
 * from=, AllowUsers and the like. Every text may come from a stranger: matching takes at most
 * pattern × text steps. Runs in: monitor.
 */
import { BlockList, isIP } from 'node:net';

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

interface Network {
  readonly address: string;
  readonly family: 'ipv4' | 'ipv6';
  readonly prefixBits: number;
}

/** Bits of an address, most significant first. */
function addressBits(address: string, family: 'ipv4' | 'ipv6'): bigint {
  if (family === 'ipv4') {
    return address.split('.').reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
  }
  const v4 = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const plain =
    v4 === null
      ? address
      : `${v4[1]}${((Number(v4[2]) << 8) | Number(v4[3])).toString(16)}:${(
          (Number(v4[4]) << 8) | Number(v4[5])
        ).toString(16)}`;
  const [head = '', tail] = plain.split('::') as [string, string?];
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  const groups = tail === undefined ? left : [...left, ...zeros, ...right];
  return groups.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
}

/** Undefined: not an address or network at all. `invalid`: host bits set or too long a mask. */
function parseNetwork(text: string): Network | 'invalid' | undefined {
  const [address = '', mask, ...more] = text.split('/');
  const version = isIP(address);
  if (version === 0 || more.length > 0 || address.includes('%')) {
    return undefined;
  }
  const widthBits = version === 4 ? 32 : 128;
  const family = version === 4 ? 'ipv4' : 'ipv6';
  if (mask === undefined) {
    return { address, family, prefixBits: widthBits };
  }
  if (!/^[0-9]{1,3}$/.test(mask)) {
    return undefined;
  }
  const prefixBits = Number(mask);
  if (prefixBits > widthBits) {
    return 'invalid';
  }
  const hostMask = (1n << BigInt(widthBits - prefixBits)) - 1n;
  const hasHostBits = (addressBits(address, family) & hostMask) !== 0n;
  return hasHostBits ? 'invalid' : { address, family, prefixBits };
}

function contains(network: Network, address: string): boolean {
  const version = isIP(address);
  if (version === 0 || (version === 4) !== (network.family === 'ipv4')) {
    return false;
  }
  const list = new BlockList();
  list.addSubnet(network.address, network.prefixBits, network.family);
  return list.check(address, network.family);
}

/** Networks where an entry is one, else the address as text against the pattern. */
export function matchAddressList(address: string, list: string): ListResult {
  return matchesList(list, (entry) => {
    const network = parseNetwork(entry);
    if (network === undefined) {
      return matchesPattern(address, entry);
    }
    return network === 'invalid' ? 'invalid' : contains(network, address);
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
