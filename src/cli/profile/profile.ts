/**
 * A connection profile: a name, a host and options of `connect`. Its file is JSON in which every
 * field is known; it never holds a secret. Runs in: user.
 */
import { ClientFailure } from '../../ssh/client/failure.ts';
import { OptionCollector, splitOption } from '../../ssh/client/options.ts';
import { parseGeometry, parsePort, parseTarget } from '../connect/target.ts';
import { storedOption } from './options.ts';
import type { OptionValue, StoredOption } from './options.ts';

export interface Profile {
  readonly name: string;
  /** `[user@]host[:port]`. */
  readonly host: string;
  readonly options: Readonly<Record<string, OptionValue>>;
}

const fileVersion = 1;
const maxValueChars = 4096;
const maxListEntries = 64;
const nameForm = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** What could carry a secret into the file: values, and commands with their words. */
const unkeptOptions: ReadonlySet<string> = new Set(
  'setenv proxycommand localcommand remotecommand knownhostscommand'.split(' '),
);

export function isProfileName(name: string): boolean {
  return nameForm.test(name);
}

export function checkName(name: string): void {
  if (!isProfileName(name)) {
    refuse(
      `${JSON.stringify(name.slice(0, 100))}: not a name of a profile: up to 64 letters, digits, dots, dashes and underscores, a letter or digit first`,
    );
  }
}

/** Throws ClientFailure `usage`; the texts begin with the field. */
export function checkProfile({ name, host, options }: Profile): void {
  checkName(name);
  checkText('host', host);
  const { user } = parseTarget(host);
  if (user?.includes(':')) refuse('host: a profile never holds a password; write user@host');
  for (const [option, value] of Object.entries(options)) {
    const row = storedOption(option);
    if (row === undefined) refuse(`unknown field options.${printed(option)}`);
    checkOption(row, value);
  }
}

function checkOption(row: StoredOption, value: unknown): void {
  const { name, kind } = row;
  if (kind === 'flag') {
    if (typeof value !== 'boolean') refuse(`options.${name}: true or false is expected`);
  } else if (kind === 'list') {
    if (!Array.isArray(value)) refuse(`options.${name}: a list is expected`);
    if (value.length === 0 || value.length > maxListEntries) {
      refuse(`options.${name}: 1 to ${maxListEntries} values are expected`);
    }
    for (const one of value) {
      checkText(`options.${name}`, one);
      checkValue(name, one);
    }
  } else {
    if (kind !== 'optional' || value !== '') checkText(`options.${name}`, value);
    checkValue(name, value as string);
  }
}

function checkText(field: string, value: unknown): asserts value is string {
  if (typeof value !== 'string' || value === '') refuse(`${field}: a text is expected`);
  if (value.length > maxValueChars) refuse(`${field}: more than ${maxValueChars} characters`);
  if (/\p{Cc}/u.test(value) || !value.isWellFormed()) refuse(`${field}: a control character`);
}

/** The rest is judged when it is used, as on the command line. */
function checkValue(name: string, value: string): void {
  if (name === 'p') parsePort(value);
  else if (name === 'geometry') parseGeometry(value);
  else if (name === 'l' && value.includes(':')) refuse('options.l: not a user');
  else if (name === 'o') checkSshOption(value);
}

function checkSshOption(text: string): void {
  const option = splitOption(text);
  if (!option) refuse(`-o ${text}: not KEY=VALUE`);
  if (unkeptOptions.has(option.name.toLowerCase())) {
    refuse(`-o ${option.name}: a profile does not keep it, because it may hold a secret`);
  }
  const outcome = new OptionCollector().set(option.name, option.words);
  if (outcome.is === 'wrong') refuse(`-o ${outcome.why}`);
}

export function formatProfile({ host, options }: Profile): string {
  return `${JSON.stringify({ version: fileVersion, host, options }, undefined, 2)}\n`;
}

/** Refuses what it does not know: a field of a later version may be the one that protects. */
export function parseProfile(name: string, text: string): Profile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return refuse(`not JSON: ${printed((error as Error).message)}`);
  }
  if (!isRecord(value)) return refuse('not an object');
  const { version, host, options = {}, ...unknown } = value;
  const [field] = Object.keys(unknown);
  if (field !== undefined) return refuse(`unknown field ${printed(field)}`);
  if (version !== fileVersion) return refuse(`version: ${fileVersion} is expected`);
  if (!isRecord(options)) return refuse('options: an object is expected');
  const profile = { name, host: host as string, options: options as Profile['options'] };
  checkProfile(profile);
  return profile;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function printed(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}

function refuse(text: string): never {
  throw new ClientFailure('usage', text);
}
