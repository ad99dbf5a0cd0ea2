/**
 * The options of ssh_config(5) that a desktop client needs, as a table, and the value that each may
 * have. The first value of an option wins, as for ssh; identity and host-key files accumulate.
 * Runs in: user.
 */

import { ConfigError } from '../../base/errors.ts';
import { type AlgorithmOption, algorithmsOf } from './algorithm-options.ts';

export type OptionName = keyof typeof optionTable;

type OptionKind =
  | { readonly is: 'text' }
  /** How the connection is made: two names of one choice. */
  | { readonly is: 'way' }
  | { readonly is: 'words' }
  | { readonly is: 'files' }
  /** Words of one line belong together; every line counts. */
  | { readonly is: 'lines' }
  | { readonly is: 'flag' }
  | { readonly is: 'algorithms'; readonly of: AlgorithmOption }
  | { readonly is: 'number'; readonly min: number; readonly max: number }
  | { readonly is: 'choice'; readonly of: Readonly<Record<string, string>> };

const yesNo: OptionKind = { is: 'flag' };

/** Keys are lower case; the name as written in the manual is in `manualName`. */
export const optionTable = {
  hostname: { is: 'text' },
  port: { is: 'number', min: 1, max: 65535 },
  user: { is: 'text' },
  identityfile: { is: 'files' },
  identitiesonly: yesNo,
  identityagent: { is: 'text' },
  certificatefile: { is: 'files' },
  proxyjump: { is: 'way' },
  proxycommand: { is: 'way' },
  userknownhostsfile: { is: 'words' },
  globalknownhostsfile: { is: 'words' },
  stricthostkeychecking: {
    is: 'choice',
    of: {
      yes: 'yes',
      true: 'yes',
      ask: 'ask',
      'accept-new': 'accept-new',
      no: 'no',
      off: 'no',
      false: 'no',
    },
  },
  hashknownhosts: yesNo,
  requiredrsasize: { is: 'number', min: 1024, max: 16384 },
  updatehostkeys: {
    is: 'choice',
    of: { yes: 'yes', true: 'yes', no: 'no', false: 'no', ask: 'ask' },
  },
  revokedhostkeys: { is: 'text' },
  hostkeyalgorithms: { is: 'algorithms', of: 'hostkeyalgorithms' },
  kexalgorithms: { is: 'algorithms', of: 'kexalgorithms' },
  ciphers: { is: 'algorithms', of: 'ciphers' },
  macs: { is: 'algorithms', of: 'macs' },
  casignaturealgorithms: { is: 'algorithms', of: 'casignaturealgorithms' },
  hostkeyalias: { is: 'text' },
  preferredauthentications: { is: 'text' },
  pubkeyauthentication: {
    is: 'choice',
    of: { yes: 'yes', true: 'yes', no: 'no', false: 'no', unbound: 'yes', 'host-bound': 'yes' },
  },
  passwordauthentication: yesNo,
  kbdinteractiveauthentication: yesNo,
  numberofpasswordprompts: { is: 'number', min: 1, max: 100 },
  serveraliveinterval: { is: 'number', min: 0, max: 86400 },
  serveralivecountmax: { is: 'number', min: 1, max: 10000 },
  connecttimeout: { is: 'number', min: 1, max: 86400 },
  addressfamily: { is: 'choice', of: { any: 'any', inet: 'inet', inet6: 'inet6' } },
  batchmode: yesNo,
  gssapiauthentication: yesNo,
  gssapidelegatecredentials: yesNo,
  pkcs11provider: { is: 'text' },
  forwardagent: { is: 'text' },
  localforward: { is: 'lines' },
  remoteforward: { is: 'lines' },
  dynamicforward: { is: 'lines' },
  clearallforwardings: yesNo,
  exitonforwardfailure: yesNo,
  gatewayports: yesNo,
  streamlocalbindmask: { is: 'text' },
  streamlocalbindunlink: yesNo,
  sendenv: { is: 'lines' },
  setenv: { is: 'words' },
  requesttty: {
    is: 'choice',
    of: { no: 'no', false: 'no', yes: 'yes', true: 'yes', force: 'force', auto: 'auto' },
  },
  stdinnull: yesNo,
} as const satisfies Record<string, OptionKind>;

/** Other spellings of a name that ssh still reads. */
const synonyms: Readonly<Record<string, OptionName>> = {
  challengeresponseauthentication: 'kbdinteractiveauthentication',
  keyboardinteractiveauthentication: 'kbdinteractiveauthentication',
  smartcarddevice: 'pkcs11provider',
};

/** A program that carries the connection is a way around every check of where it goes. */
const noProxyCommand =
  'ProxyCommand is not supported: use ProxyJump, or a tunnel of ssh and its local port';

/** The rest of ssh_config(5): known, and without effect here. */
const withoutEffect: ReadonlySet<string> = new Set(
  `addkeystoagent bindaddress bindinterface canonicaldomains canonicalizefallbacklocal
  canonicalizehostname canonicalizemaxdots canonicalizepermittedcnames channeltimeout checkhostip
  cipher compression
  compressionlevel connectionattempts controlmaster controlpath controlpersist
  enableescapecommandline enablesshkeysign escapechar fingerprinthash
  forkafterauthentication forwardx11 forwardx11timeout forwardx11trusted
  gssapiclientidentity gssapikexalgorithms
  gssapikeyexchange gssapirenewalforcesrekey gssapiserveridentity gssapitrustdns hostbasedacceptedalgorithms
  hostbasedauthentication hostbasedkeytypes ignoreunknown ipqos kbdinteractivedevices
  knownhostscommand localcommand loglevel logverbose
  nohostauthenticationforlocalhost obscurekeystroketiming permitlocalcommand permitremoteopen
  protocol proxyusefdpass pubkeyacceptedalgorithms pubkeyacceptedkeytypes refuseconnection
  rekeylimit remotecommand
  rhostsrsaauthentication rsaauthentication securitykeyprovider sessiontype
  syslogfacility tag tcpkeepalive
  tunnel tunneldevice useprivilegedport usekeychain verifyhostkeydns versionaddendum
  visualhostkey warnweakcrypto xauthlocation`.split(/\s+/),
);

export interface OptionValues {
  readonly text: ReadonlyMap<OptionName, string>;
  readonly lists: ReadonlyMap<OptionName, readonly string[]>;
}

export type OptionOutcome =
  | { readonly is: 'set' }
  /** Known to ssh, not to us: said once, to the one who wrote it. */
  | { readonly is: 'ignored'; readonly name: string }
  | { readonly is: 'wrong'; readonly why: string };

const maxListEntries = 256;

/** Collects values; the caller gives them in the order of precedence, highest first. */
export class OptionCollector implements OptionValues {
  readonly text = new Map<OptionName, string>();
  readonly lists = new Map<OptionName, readonly string[]>();

  set(name: string, words: readonly string[]): OptionOutcome {
    const key = name.toLowerCase();
    const known = synonyms[key] ?? (Object.hasOwn(optionTable, key) ? (key as OptionName) : null);
    const first = words[0];
    if (first === undefined) return { is: 'wrong', why: `${name}: a value is missing` };
    if (known === null) return outcomeOfOther(name, key);
    return this.#setKnown(name, known, words, first);
  }

  #setKnown(
    written: string,
    name: OptionName,
    words: readonly string[],
    first: string,
  ): OptionOutcome {
    const kind: OptionKind = optionTable[name];
    if (kind.is === 'files') return this.#append(written, name, words, first);
    if (kind.is === 'way') return this.#setWay(name, words.join(' '));
    if (kind.is === 'lines') return this.#append(written, name, [words.join(' ')], words.join(' '));
    if (kind.is !== 'words' && words.length > 1) {
      return { is: 'wrong', why: `${written}: one value is expected` };
    }
    const checked = checkValue(written, kind, first);
    if (typeof checked !== 'string') return checked;
    if (kind.is === 'words') {
      if (!this.lists.has(name)) this.lists.set(name, words);
    } else if (!this.text.has(name)) {
      this.text.set(name, checked);
    }
    return { is: 'set' };
  }

  /** ProxyJump and ProxyCommand are one choice: whichever comes first is the way (ssh_config(5)). */
  #setWay(name: OptionName, value: string): OptionOutcome {
    if (this.text.has('proxyjump') || this.text.has('proxycommand')) return { is: 'set' };
    if (value === '') return { is: 'wrong', why: `${name}: a value is missing` };
    const isNone = value.toLowerCase() === 'none';
    if (name === 'proxycommand' && !isNone) return { is: 'wrong', why: noProxyCommand };
    this.text.set(name, isNone ? 'none' : value);
    return { is: 'set' };
  }

  #append(written: string, name: OptionName, words: readonly string[], first: string) {
    if (words.length > 1) return { is: 'wrong', why: `${written}: one value is expected` } as const;
    const list = this.lists.get(name) ?? [];
    if (list.length >= maxListEntries) return { is: 'wrong', why: `${written}: too many` } as const;
    if (!list.includes(first)) this.lists.set(name, [...list, first]);
    return { is: 'set' } as const;
  }
}

function outcomeOfOther(name: string, key: string): OptionOutcome {
  if (withoutEffect.has(key)) return { is: 'ignored', name };
  return { is: 'wrong', why: `${name}: no such option of ssh_config(5)` };
}

/** The value as kept, or what is wrong with it. */
function checkValue(name: string, kind: OptionKind, value: string): string | OptionOutcome {
  const wrong = (expected: string): OptionOutcome => ({
    is: 'wrong',
    why: `${name}: ${expected} is expected, not ${JSON.stringify(value)}`,
  });
  if (kind.is === 'flag') {
    const flag = { yes: 'yes', true: 'yes', no: 'no', false: 'no' }[value.toLowerCase()];
    return flag ?? wrong('yes or no');
  }
  if (kind.is === 'choice') {
    const choice = Object.hasOwn(kind.of, value.toLowerCase())
      ? kind.of[value.toLowerCase()]
      : undefined;
    return choice ?? wrong(`one of ${Object.keys(kind.of).join(', ')}`);
  }
  if (kind.is === 'algorithms') {
    try {
      algorithmsOf(kind.of, value);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return { is: 'wrong', why: `${name}: ${error.detail}` };
    }
  }
  if (kind.is === 'number') {
    const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
    return number >= kind.min && number <= kind.max
      ? String(number)
      : wrong(`a number from ${kind.min} to ${kind.max}`);
  }
  return value;
}

/** `Key=Value`, `Key = Value` and `Key Value`, as `-o` and a line of the file take them. */
export function splitOption(line: string): { name: string; words: string[] } | null {
  const match = /^\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)?(.*)$/s.exec(line);
  if (match?.[1] === undefined || match[2] === undefined) return null;
  const words = splitWords(match[2]);
  return words && { name: match[1], words };
}

/** Words with double or single quotes; a `#` that begins a word ends the line. Null: open quote. */
export function splitWords(text: string): string[] | null {
  const words: string[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text[at];
    if (char === undefined || /\s/.test(char)) {
      at += 1;
    } else if (char === '#') {
      break;
    } else {
      const word = readWord(text, at);
      if (!word) return null;
      words.push(word.text);
      at = word.end;
    }
  }
  return words;
}

function readWord(text: string, start: number): { text: string; end: number } | null {
  let word = '';
  let quote = '';
  let at = start;
  for (; at < text.length; at += 1) {
    const char = text[at] ?? '';
    const next = text[at + 1] ?? '';
    if (char === '\\' && (next === '"' || next === "'" || next === '\\')) {
      word += next;
      at += 1;
    } else if (quote === '' && /\s/.test(char)) {
      break;
    } else if (quote === '' && (char === '"' || char === "'")) {
      quote = char;
    } else if (char === quote && quote !== '') {
      quote = '';
    } else {
      word += char;
    }
  }
  return quote === '' ? { text: word, end: at } : null;
}

export interface Tokens {
  /** By the letter after `%`, such as `h` for the host name. */
  readonly [letter: string]: string;
}

/** `%h` and the like, and `${NAME}`; null when a token or a variable has no value here. */
export function expandTokens(
  text: string,
  tokens: Tokens,
  environment: Readonly<Record<string, string | undefined>> = {},
): string | null {
  let isKnown = true;
  const expanded = text.replace(/%(.)|\$\{(\w+)\}/gs, (_whole, letter?: string, name?: string) => {
    const value =
      letter === '%' ? '%' : letter !== undefined ? tokens[letter] : environment[name ?? ''];
    if (value === undefined) isKnown = false;
    return value ?? '';
  });
  return isKnown ? expanded : null;
}
