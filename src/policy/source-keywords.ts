/**
 * The keywords of sshd_config(5) about where connections come from: how many of one source, which
 * sources wait after what they did, who is turned away, as rows for server-keywords.ts. Penalties
 * are on without a line, as in OpenSSH from 9.8 on. Pure. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import { isValidAddressList } from '../../keys/pattern.ts';
import type { PenaltyOverflow, SourceBlockBits, SourcePenalties } from './config.ts';
import type { PenaltiesDraft, ServerDraft } from './server-draft.ts';
import { flag, row } from './server-row.ts';
import { integer, secondsWithFraction, several, single } from './values.ts';
import type { Words } from './words.ts';

type Durations = Pick<
  SourcePenalties,
  | 'crashMs'
  | 'authFailMs'
  | 'noAuthMs'
  | 'invalidUserMs'
  | 'graceExceededMs'
  | 'refuseConnectionMs'
  | 'maxMs'
  | 'minMs'
>;

/** Word to field, in the order in which sshd prints them. */
const durations: readonly (readonly [word: string, field: keyof Durations])[] = [
  ['crash', 'crashMs'],
  ['authfail', 'authFailMs'],
  ['noauth', 'noAuthMs'],
  ['invaliduser', 'invalidUserMs'],
  ['grace-exceeded', 'graceExceededMs'],
  ['refuseconnection', 'refuseConnectionMs'],
  ['max', 'maxMs'],
  ['min', 'minMs'],
];
const counts = [
  ['max-sources4', 'maxSources4'],
  ['max-sources6', 'maxSources6'],
] as const;
const overflows = [
  ['overflow', 'overflow4'],
  ['overflow6', 'overflow6'],
] as const;

/** What 10.5 has without a line. */
export const penaltyDefaults: SourcePenalties = {
  isOn: true,
  crashMs: 90_000,
  authFailMs: 5_000,
  noAuthMs: 1_000,
  invalidUserMs: 5_000,
  graceExceededMs: 10_000,
  refuseConnectionMs: 10_000,
  maxMs: 600_000,
  minMs: 15_000,
  maxSources4: 65_536,
  maxSources6: 65_536,
  overflow4: 'permissive',
  overflow6: 'permissive',
};

export function finishedPenalties(draft: PenaltiesDraft): SourcePenalties {
  return {
    ...penaltyDefaults,
    ...(draft.overflow4 === undefined ? {} : { overflow6: draft.overflow4 }),
    ...draft,
  };
}

function overflowMode(text: string): PenaltyOverflow {
  if (text !== 'permissive' && text !== 'deny-all') {
    throw new ConfigError(`"${text}" is neither permissive nor deny-all`);
  }
  return text;
}

/** One `word:value`. */
function penaltyField(keyword: string, text: string): PenaltiesDraft {
  const at = text.indexOf(':');
  const name = text.slice(0, Math.max(at, 0));
  const value = { keyword, words: [text.slice(at + 1)], rest: text.slice(at + 1) };
  const duration = durations.find(([word]) => word === name);
  if (duration !== undefined) {
    return { [duration[1]]: secondsWithFraction(value) * 1000 };
  }
  const count = counts.find(([word]) => word === name);
  if (count !== undefined) {
    return { [count[1]]: integer(0)(value) };
  }
  const overflow = overflows.find(([word]) => word === name);
  if (overflow !== undefined) {
    return { [overflow[1]]: overflowMode(single(value)) };
  }
  throw new ConfigError(`unsupported word "${text}"`);
}

function penalties(words: Words): PenaltiesDraft {
  const list = several(words);
  const first = list[0]?.toLowerCase();
  if (first === 'yes' || first === 'no') {
    if (list.length > 1) {
      throw new ConfigError(`"${first}" argument must appear alone`);
    }
    return { isOn: first === 'yes' };
  }
  let said: PenaltiesDraft = {};
  for (const text of list) {
    said = addPenalties(said, penaltyField(words.keyword, text));
  }
  return said;
}

/** A value says that they are on, whatever a line in front of it says: so it is in sshd. */
function addPenalties(before: PenaltiesDraft, next: PenaltiesDraft): PenaltiesDraft {
  const joined = { ...next, ...before };
  const hasValue = Object.keys(joined).some((field) => field !== 'isOn');
  return hasValue ? { ...joined, isOn: true } : joined;
}

function penaltiesText(said: SourcePenalties): string {
  return said.isOn
    ? [
        ...durations.map(([word, field]) => `${word}:${said[field] / 1000}`),
        ...counts.map(([word, field]) => `${word}:${said[field]}`),
        ...overflows.map(([word, field]) => `${word}:${said[field]}`),
      ].join(' ')
    : 'no';
}

const addressBits4 = 32;
const addressBits6 = 128;

/**
 * A block for IPv4 alone leaves that of IPv6 at its default. (sshd takes 0 for it there: all of IPv6
 * is one source.)
 */
function blockSize(words: Words): SourceBlockBits {
  const word = single(words);
  const [, bits4, bits6] = /^([0-9]{1,3})(?::([0-9]{1,3}))?$/.exec(word) ?? [];
  const value = { bits4: Number(bits4), bits6: Number(bits6 ?? addressBits6) };
  if (bits4 === undefined || value.bits4 > addressBits4 || value.bits6 > addressBits6) {
    throw new ConfigError('Invalid PerSourceNetBlockSize spec.');
  }
  return value;
}

function exemptList(words: Words): string {
  const list = single(words);
  if (list !== 'none' && !isValidAddressList(list)) {
    throw new ConfigError('invalid address argument');
  }
  return list;
}

export const perSourceMaxStartupsRow = row({
  name: 'PerSourceMaxStartups',
  argument: 'number | none',
  summary: 'Unauthenticated connections of one source, within what MaxStartups allows.',
  defaultText: 'none',
  field: 'perSourceMaxStartups',
  parse: (words) => (single(words) === 'none' ? Number.POSITIVE_INFINITY : integer(0)(words)),
  dump: ({ perSourceMaxStartups: most }) => (Number.isFinite(most) ? String(most) : 'none'),
});

export const perSourceNetBlockSizeRow = row({
  name: 'PerSourceNetBlockSize',
  argument: 'bits of IPv4[:bits of IPv6]',
  summary:
    'Addresses that have so many bits in common are one source, for PerSourceMaxStartups and PerSourcePenalties.',
  defaultText: '32:128',
  field: 'perSourceNetBlockSize',
  parse: blockSize,
  dump: ({ perSourceNetBlockSize: { bits4, bits6 } }) => `${bits4}:${bits6}`,
});

export const perSourcePenaltiesRow = row({
  name: 'PerSourcePenalties',
  argument: 'yes | no | word:value ...',
  summary:
    'How long a source has to wait after what it did; penalties add up, up to max, and hold once they are more than min. See docs/guide/limits.md.',
  defaultText: penaltiesText(penaltyDefaults),
  field: 'sourcePenalties',
  parse: penalties,
  add: addPenalties,
  dump: (config) => penaltiesText(config.sourcePenalties),
});

export const perSourcePenaltyExemptListRow = row({
  name: 'PerSourcePenaltyExemptList',
  argument: 'address-list | none',
  summary: 'Addresses and networks, separated by commas, that PerSourcePenalties leaves alone.',
  defaultText: 'none',
  field: 'perSourcePenaltyExemptList',
  parse: exemptList,
  dump: (config) => config.perSourcePenaltyExemptList,
});

export const refuseConnectionRow = flag(
  'RefuseConnection',
  'refuseConnection',
  'no',
  'The connection is ended as soon as its user is known; for Match blocks.',
);

export const useDnsRow = flag(
  'UseDNS',
  'useDns',
  'no',
  'The name of the other end is looked up, and counts in Match Host, AllowUsers user@host and from= if it has that address.',
);

export const sourceDefaults = {
  useDns: false,
  perSourceMaxStartups: Number.POSITIVE_INFINITY,
  perSourceNetBlockSize: { bits4: addressBits4, bits6: addressBits6 },
  sourcePenalties: {},
  perSourcePenaltyExemptList: 'none',
  refuseConnection: false,
} satisfies Partial<ServerDraft>;
