/**
 * AuthorizedKeysCommand and AuthorizedPrincipalsCommand (sshd_config(5)): a command line that no
 * shell sees, with tokens. Pure. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import { commandLine } from './values.ts';
import { splitWords, type Words } from './words.ts';

export const keysCommandTokens = 'CDUfhktu';
export const principalsCommandTokens = `${keysCommandTokens}FiKsT`;

/** As written, or `none`. Quotes, tokens and the path are checked at the start. */
export function policyCommand(tokens: string): (words: Words) => string {
  return (words) => {
    const text = commandLine(words);
    if (text.toLowerCase() === 'none') {
      return 'none';
    }
    if (!text.startsWith('/')) {
      throw new ConfigError('must be an absolute path');
    }
    const list = splitWords(text, { hasComments: false });
    const unknown = list
      .slice(1)
      .flatMap((word) => [...word.matchAll(/%(.?)/gs)])
      .find(([, token]) => token !== '%' && (token === '' || !tokens.includes(token as string)));
    if (unknown !== undefined) {
      throw new ConfigError(`unknown token "${unknown[0]}"`);
    }
    return text;
  };
}

/** argv, as it is run. The program itself has no tokens. */
export function commandArguments(
  command: string,
  tokens: Readonly<Record<string, string>>,
): readonly string[] {
  const [file = '', ...words] = splitWords(command, { hasComments: false });
  const given = words.map((word) =>
    word.replace(/%(.)/gs, (_whole, token: string) =>
      token === '%' ? '%' : Object.hasOwn(tokens, token) ? (tokens[token] as string) : '',
    ),
  );
  return [file, ...given];
}

/** The program as sshd names it in its log. */
export function commandText(argv: readonly string[]): string {
  return argv.join(' ');
}
