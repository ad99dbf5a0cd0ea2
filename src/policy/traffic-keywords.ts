/**
 * IPQoS of sshd_config(5): the class that packets of a connection carry, as a row for
 * server-keywords.ts. Pure. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import type { TrafficClasses } from './config.ts';
import type { ServerDraft } from './server-draft.ts';
import { row } from './server-row.ts';
import { several } from './values.ts';
import type { Words } from './words.ts';

/** The byte of the header (RFC 2474, RFC 8622, RFC 1349). Of two names for one the first is printed. */
const classes: Readonly<Record<string, number>> = {
  af11: 0x28,
  af12: 0x30,
  af13: 0x38,
  af21: 0x48,
  af22: 0x50,
  af23: 0x58,
  af31: 0x68,
  af32: 0x70,
  af33: 0x78,
  af41: 0x88,
  af42: 0x90,
  af43: 0x98,
  cs0: 0x00,
  cs1: 0x20,
  cs2: 0x40,
  cs3: 0x60,
  cs4: 0x80,
  cs5: 0xa0,
  cs6: 0xc0,
  cs7: 0xe0,
  ef: 0xb8,
  le: 0x04,
  lowdelay: 0x10,
  throughput: 0x08,
  reliability: 0x04,
};
const largest = 0xff;

function numberOf(text: string): number {
  if (/^0x[0-9a-f]{1,8}$/i.test(text)) {
    return Number.parseInt(text, 16);
  }
  return /^[0-9]{1,8}$/.test(text) ? Number.parseInt(text, /^0./.test(text) ? 8 : 10) : NaN;
}

function classOf(word: string): number | undefined {
  const name = word.toLowerCase();
  if (name === 'none') {
    return undefined;
  }
  const value = Object.hasOwn(classes, name) ? (classes[name] as number) : numberOf(name);
  if (!(value >= 0 && value <= largest) || /^0[0-7]*[89]/.test(name)) {
    throw new ConfigError(`Bad IPQoS value: ${word}`);
  }
  return value;
}

function trafficClasses(words: Words): TrafficClasses {
  const [first = '', second = first, ...more] = several(words);
  if (more.length > 0) {
    throw new ConfigError('extra arguments at end of line');
  }
  return { interactive: classOf(first), bulk: classOf(second) };
}

function nameOf(value: number | undefined): string {
  if (value === undefined) {
    return 'none';
  }
  const name = Object.keys(classes).find((one) => classes[one] === value);
  return name ?? `0x${value.toString(16).padStart(2, '0')}`;
}

export const ipQosRow = row({
  name: 'IPQoS',
  argument: 'class [class for bulk]',
  summary:
    'The class in the header of packets: the first while a session has a terminal, a display or a viewer, else the second.',
  defaultText: 'lowdelay throughput',
  field: 'trafficClasses',
  parse: trafficClasses,
  // As sshd, which has the last one here.
  add: (_before, next) => next,
  counts: 'last',
  dump: ({ trafficClasses: { interactive, bulk } }) => `${nameOf(interactive)} ${nameOf(bulk)}`,
});

export const trafficDefaults = {
  trafficClasses: { interactive: 0x10, bulk: 0x08 },
} satisfies Partial<ServerDraft>;
