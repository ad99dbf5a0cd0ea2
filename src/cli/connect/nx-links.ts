/** Kinds of lines that NX knows, slowest first. Runs in: user. */
export const nxLinks: readonly string[] = ['modem', 'isdn', 'adsl', 'wan', 'lan'];
