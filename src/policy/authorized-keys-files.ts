/**
 * AuthorizedKeysFile: tokens `%% %h %U %u` expanded for one account (sshd_config(5) TOKENS). The
 * result is a path that the leader opens as the user. Runs in: monitor.
 */
export interface KeyFileAccount {
  readonly user: string;
  readonly uid: number;
  readonly home: string;
}

const maxPathBytes = 4096;

/** A name that could leave its place in a path is no name: it gets no files at all. */
export function isPathSafeUser(user: string): boolean {
  return (
    user !== '' &&
    user !== '.' &&
    user !== '..' &&
    Buffer.byteLength(user) <= 256 &&
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
    !/[/\\\u0000-\u001f\u007f-\u009f]/.test(user)
  );
}

/** Undefined for a token that does not exist; such a pattern does not pass the configuration. */
export function expandTokens(pattern: string, account: KeyFileAccount): string | undefined {
  const values: Readonly<Record<string, string>> = {
    '%': '%',
    h: account.home,
    U: String(account.uid),
    u: account.user,
  };
  let isKnown = true;
  const expanded = pattern.replace(/%(.?)/gs, (_whole, token: string) => {
    const value = Object.hasOwn(values, token) ? values[token] : undefined;
    isKnown &&= value !== undefined;
    return value ?? '';
  });
  return isKnown ? expanded : undefined;
}

export function expandAuthorizedKeysFiles(
  config: { readonly authorizedKeysFiles: readonly string[] },
  account: KeyFileAccount,
): readonly string[] {
  if (!isPathSafeUser(account.user)) {
    return [];
  }
  return config.authorizedKeysFiles.flatMap((pattern) => {
    const expanded = expandTokens(pattern, account);
    if (expanded === undefined || expanded.includes('\0')) {
      return [];
    }
    const path = expanded.startsWith('/') ? expanded : `${account.home}/${expanded}`;
    return Buffer.byteLength(path) < maxPathBytes ? [path] : [];
  });
}
