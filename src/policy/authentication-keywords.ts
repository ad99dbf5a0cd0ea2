/**
 * The keywords of sshd_config(5) that say how users prove who they are, for the table of
 * server-keywords.ts. Pure. Runs in: monitor, launcher.
 */
import { parseAuthenticationMethods } from './authentication-methods.ts';
import { keysCommandTokens, policyCommand, principalsCommandTokens } from './command-line.ts';
import type { ServerConfig } from './config.ts';
import { type KeywordDeclaration, type KeywordRow, keyword } from './keyword.ts';
import { single, userFile } from './values.ts';

/** The part of the draft that these rows fill in; `none` where sshd says so. */
export interface AuthenticationDraft {
  readonly authorizedKeysCommand: string;
  readonly authorizedKeysCommandUser: string;
  readonly authorizedPrincipalsFile: string;
  readonly authorizedPrincipalsCommand: string;
  readonly authorizedPrincipalsCommandUser: string;
  readonly authenticationMethods: readonly string[];
}

function row<K extends keyof AuthenticationDraft>(
  declaration: KeywordDeclaration<AuthenticationDraft, ServerConfig, K>,
): KeywordRow<AuthenticationDraft, ServerConfig> {
  return keyword(declaration);
}

export const authenticationDefaults: AuthenticationDraft = {
  authorizedKeysCommand: 'none',
  authorizedKeysCommandUser: 'none',
  authorizedPrincipalsFile: 'none',
  authorizedPrincipalsCommand: 'none',
  authorizedPrincipalsCommandUser: 'none',
  authenticationMethods: [],
};

export const authorizedKeysCommandRows = [
  row({
    name: 'AuthorizedKeysCommand',
    argument: 'command ... | none',
    summary:
      "Prints keys of the user, asked after the files. Absolute; it and all directories above it are root's alone; no shell; tokens %% %C %D %f %h %k %t %U %u; without arguments it gets the user's name.",
    defaultText: 'none',
    field: 'authorizedKeysCommand',
    parse: policyCommand(keysCommandTokens),
    dump: (config) => config.authorizedKeysCommand ?? 'none',
  }),
  row({
    name: 'AuthorizedKeysCommandUser',
    argument: 'user | none',
    summary: 'Who runs AuthorizedKeysCommand, which does not work without; %u is the user.',
    defaultText: 'none',
    field: 'authorizedKeysCommandUser',
    parse: single,
    dump: (config) => config.authorizedKeysCommandUser ?? 'none',
  }),
];

export const authorizedPrincipalsFileRow = row({
  name: 'AuthorizedPrincipalsFile',
  argument: 'file | none',
  summary:
    "Names, one a line, of which a certificate of TrustedUserCAKeys has to list one; options of a key may stand in front. Tokens and places as AuthorizedKeysFile. Without it: the user's name.",
  defaultText: 'none',
  field: 'authorizedPrincipalsFile',
  parse: (words, place) => userFile(single(words), place),
  dump: (config) => config.authorizedPrincipalsFile ?? 'none',
});

export const authorizedPrincipalsCommandRows = [
  row({
    name: 'AuthorizedPrincipalsCommand',
    argument: 'command ... | none',
    summary:
      'Prints such names, asked after the file. As AuthorizedKeysCommand, with the tokens %F %i %K %s %T of the certificate besides; without arguments it gets none.',
    defaultText: 'none',
    field: 'authorizedPrincipalsCommand',
    parse: policyCommand(principalsCommandTokens),
    dump: (config) => config.authorizedPrincipalsCommand ?? 'none',
  }),
  row({
    name: 'AuthorizedPrincipalsCommandUser',
    argument: 'user | none',
    summary: 'Who runs AuthorizedPrincipalsCommand, which does not work without; %u is the user.',
    defaultText: 'none',
    field: 'authorizedPrincipalsCommandUser',
    parse: single,
    dump: (config) => config.authorizedPrincipalsCommandUser ?? 'none',
  }),
];

export const authenticationMethodsRow = row({
  name: 'AuthenticationMethods',
  argument: 'any | method[:submethod],... ...',
  summary:
    'Lists of methods; one of the lists has to be met as a whole, in its order. `publickey,publickey` takes two keys. Lists with a method that is not offered do not count.',
  defaultText: 'any',
  field: 'authenticationMethods',
  parse: parseAuthenticationMethods,
  dump: (config) =>
    config.authenticationMethods.length === 0 ? 'any' : config.authenticationMethods.join(' '),
});
