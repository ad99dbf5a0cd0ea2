/**
 * Options whose value may be left out, in front of a positional: `--pkcs11 host` and
 * `--pkcs11 /usr/lib/module.so host`. Runs in: user.
 */

const options: readonly string[] = ['--pkcs11'];

/** The next word is its value only when it is a path; an empty value stands for none. */
export function joinOptionalPaths(words: readonly string[]): string[] {
  const joined: string[] = [];
  const end = words.includes('--') ? words.indexOf('--') : words.length;
  for (let at = 0; at < end; at += 1) {
    const word = words[at] as string;
    const next = at + 1 < end ? words[at + 1] : undefined;
    if (!options.includes(word)) {
      joined.push(word);
    } else if (next !== undefined && /^(?:\/|~\/|\.\.?\/)/.test(next)) {
      joined.push(`${word}=${next}`);
      at += 1;
    } else {
      joined.push(`${word}=`);
    }
  }
  return [...joined, ...words.slice(end)];
}
