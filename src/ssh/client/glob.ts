/**
 * Host patterns of ssh_config(5) and known_hosts: `*`, `?` and negation, as a client matches them.
 * Runs in: user.
 */

/** Matches one pattern in time linear in its product; no regular expression is built from input. */
export function matchesGlob(text: string, pattern: string): boolean {
  let at = 0;
  let p = 0;
  let star = -1;
  let resume = 0;
  while (at < text.length) {
    const wanted = pattern[p];
    if (wanted === '*') {
      star = p;
      resume = at;
      p += 1;
    } else if (wanted === '?' || wanted === text[at]) {
      p += 1;
      at += 1;
    } else if (star >= 0) {
      p = star + 1;
      resume += 1;
      at = resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p += 1;
  return p === pattern.length;
}

/** A list matches when a pattern does and no negated one does (ssh_config(5), PATTERNS). */
export function matchesPatternList(text: string, patterns: readonly string[]): boolean {
  let matched = false;
  for (const pattern of patterns) {
    const negated = pattern.startsWith('!');
    if (!matchesGlob(text, negated ? pattern.slice(1) : pattern)) continue;
    if (negated) return false;
    matched = true;
  }
  return matched;
}
