/**
 * The lists of pattern.ts made ready once, for who asks them at every login: hundreds of Match blocks
 * are nothing then. Same answers. Pure. Runs in: monitor.
 */
import { matchesPattern, type Network, parseNetwork } from './pattern.ts';

interface Entry<T> {
  readonly isNegated: boolean;
  readonly hits: (subject: T) => boolean;
}

/** Whether one is hit and none with `!` is: where the latter stands does not matter. */
function isMatched<T>(entries: readonly Entry<T>[], subject: T): boolean {
  let isHit = false;
  for (const { isNegated, hits } of entries) {
    if ((isNegated || !isHit) && hits(subject)) {
      if (isNegated) {
        return false;
      }
      isHit = true;
    }
  }
  return isHit;
}

function entriesOf<T>(
  list: string,
  ready: (pattern: string) => (subject: T) => boolean,
): readonly Entry<T>[] {
  return list.split(',').map((entry) => {
    const isNegated = entry.startsWith('!');
    return { isNegated, hits: ready(isNegated ? entry.slice(1) : entry) };
  });
}

function isLiteral(pattern: string): boolean {
  return !/[*?]/.test(pattern);
}

/** Most patterns are a name, a beginning or an end: those the engine compares at once. */
function patternMatcher(pattern: string): (text: string) => boolean {
  if (isLiteral(pattern)) {
    return (text) => text === pattern;
  }
  const [head = ''] = pattern.split(/[*?]/, 1);
  const tail = pattern.slice(Math.max(pattern.lastIndexOf('*'), pattern.lastIndexOf('?')) + 1);
  const isOneStar =
    pattern.length === head.length + 1 + tail.length && pattern[head.length] === '*';
  const least = head.length + tail.length;
  const mayMatch = (text: string): boolean =>
    text.length >= least && text.startsWith(head) && text.endsWith(tail);
  return isOneStar ? mayMatch : (text) => mayMatch(text) && matchesPattern(text, pattern);
}

/** `match` of matchPatternList. */
export function listMatcher(list: string): (text: string) => boolean {
  const entries = entriesOf(list, patternMatcher);
  return (text) => isMatched(entries, text);
}

/** The same for a set of names: a hit of `!` by any of them is no. */
export function setMatcher(list: string): (names: ReadonlySet<string>) => boolean {
  const entries = entriesOf<ReadonlySet<string>>(list, (pattern) => {
    if (isLiteral(pattern)) {
      return (names) => names.has(pattern);
    }
    const matches = patternMatcher(pattern);
    return (names) => {
      for (const name of names) {
        if (matches(name)) {
          return true;
        }
      }
      return false;
    };
  });
  return (names) => isMatched(entries, names);
}

/** An address that is compared with many networks. */
export interface ReadAddress {
  readonly text: string;
  /** undefined: it is no address. */
  readonly network: Network | undefined;
}

export function readAddress(text: string): ReadAddress {
  const network = parseNetwork(text);
  return { text, network: network === 'invalid' ? undefined : network };
}

/** `match` of matchAddressList, of a list in which every network is one (isValidAddressList). */
export function addressMatcher(list: string): (address: ReadAddress) => boolean {
  const entries = entriesOf<ReadAddress>(list, (pattern) => {
    const network = parseNetwork(pattern);
    if (network === undefined) {
      const matches = patternMatcher(pattern);
      return ({ text }) => matches(text);
    }
    if (network === 'invalid') {
      return () => false;
    }
    const { version, hostBits } = network;
    const prefix = network.value >> hostBits;
    return ({ network: own }) =>
      own !== undefined && own.version === version && own.value >> hostBits === prefix;
  });
  return (address) => isMatched(entries, address);
}
