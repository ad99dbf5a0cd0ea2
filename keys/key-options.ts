/**
 * The option list in front of a key of authorized_keys (sshd(8) AUTHORIZED_KEYS FILE FORMAT). An
 * option that is unknown or malformed spoils its whole line: ignoring a restriction would grant.
 * Runs in: monitor.
 */
import { type Destination, parseDestination } from './destination.ts';
import { parseExpiryTime } from './expiry-time.ts';

export interface KeyOptions {
  /** command= */
  readonly command: string | undefined;
  readonly environment: readonly (readonly [name: string, value: string])[];
  /** from=, a pattern list. */
  readonly from: string | undefined;
  /** source-address of a certificate, a list of addresses and networks. */
  readonly sourceAddress: string | undefined;
  /** The earliest expiry-time=. */
  readonly expiresAtMs: number | undefined;
  /** undefined: the key says nothing. */
  readonly permitOpen: readonly Destination[] | undefined;
  readonly permitListen: readonly Destination[] | undefined;
  readonly permitPortForwarding: boolean;
  readonly permitAgentForwarding: boolean;
  readonly permitX11Forwarding: boolean;
  readonly permitPty: boolean;
  readonly permitUserRc: boolean;
  readonly isCertAuthority: boolean;
  /** principals=, for a cert-authority line. */
  readonly principals: string | undefined;
  /** tunnel=; devices are never given. */
  readonly tunnel: string | undefined;
  readonly needsTouch: boolean;
  readonly needsVerification: boolean;
}

export type ParsedOptions =
  | { readonly ok: true; readonly options: KeyOptions }
  | { readonly ok: false; readonly reason: string };

type Draft = {
  -readonly [K in keyof Omit<
    KeyOptions,
    'environment' | 'permitOpen' | 'permitListen'
  >]: KeyOptions[K];
} & {
  environment: (readonly [string, string])[];
  permitOpen: Destination[] | undefined;
  permitListen: Destination[] | undefined;
};

/** As OpenSSH: more of one kind than anybody writes. */
const maxDestinations = 4096;
const maxEnvironment = 1024;

export const noOptions: KeyOptions = Object.freeze({
  command: undefined,
  environment: [],
  from: undefined,
  sourceAddress: undefined,
  expiresAtMs: undefined,
  permitOpen: undefined,
  permitListen: undefined,
  permitPortForwarding: true,
  permitAgentForwarding: true,
  permitX11Forwarding: true,
  permitPty: true,
  permitUserRc: true,
  isCertAuthority: false,
  principals: undefined,
  tunnel: undefined,
  needsTouch: true,
  needsVerification: false,
});

/** Returns a reason when the option is wrong. */
type ApplyFlag = (draft: Draft, isOn: boolean) => void;
type ApplyValue = (draft: Draft, value: string) => string | undefined;

interface FlagRow {
  readonly mayNegate: boolean;
  readonly apply: ApplyFlag;
}

const flags: Readonly<Record<string, FlagRow>> = {
  restrict: {
    mayNegate: false,
    apply(draft) {
      draft.permitPortForwarding = false;
      draft.permitAgentForwarding = false;
      draft.permitX11Forwarding = false;
      draft.permitPty = false;
      draft.permitUserRc = false;
    },
  },
  'cert-authority': {
    mayNegate: false,
    apply: (draft, isOn) => void (draft.isCertAuthority = isOn),
  },
  'port-forwarding': {
    mayNegate: true,
    apply: (draft, isOn) => void (draft.permitPortForwarding = isOn),
  },
  'agent-forwarding': {
    mayNegate: true,
    apply: (draft, isOn) => void (draft.permitAgentForwarding = isOn),
  },
  'x11-forwarding': {
    mayNegate: true,
    apply: (draft, isOn) => void (draft.permitX11Forwarding = isOn),
  },
  pty: { mayNegate: true, apply: (draft, isOn) => void (draft.permitPty = isOn) },
  'user-rc': { mayNegate: true, apply: (draft, isOn) => void (draft.permitUserRc = isOn) },
  'touch-required': { mayNegate: true, apply: (draft, isOn) => void (draft.needsTouch = isOn) },
  'verify-required': {
    mayNegate: true,
    apply: (draft, isOn) => void (draft.needsVerification = isOn),
  },
};

function once(name: 'command' | 'principals' | 'from'): ApplyValue {
  return (draft, value) => {
    if (draft[name] !== undefined) {
      return `multiple "${name}" clauses`;
    }
    draft[name] = value;
    return undefined;
  };
}

/** `mayOmitHost`: permitlisten="8080" stands for any host. */
function destinations(name: 'permitOpen' | 'permitListen', mayOmitHost: boolean): ApplyValue {
  return (draft, value) => {
    const text = mayOmitHost && !value.includes(':') ? `*:${value}` : value;
    const destination = parseDestination(text);
    if (destination === undefined) {
      return 'invalid permission host or port';
    }
    draft[name] ??= [];
    if (draft[name].length >= maxDestinations) {
      return 'too many permission directives';
    }
    draft[name].push(destination);
    return undefined;
  };
}

const values: Readonly<Record<string, ApplyValue>> = {
  command: once('command'),
  principals: once('principals'),
  from: once('from'),
  'expiry-time'(draft, value) {
    const expiresAtMs = parseExpiryTime(value);
    if (expiresAtMs === undefined) {
      return 'invalid expires time';
    }
    draft.expiresAtMs = Math.min(draft.expiresAtMs ?? expiresAtMs, expiresAtMs);
    return undefined;
  },
  environment(draft, value) {
    const [, name, content] = /^([A-Za-z0-9_]+)=(.*)$/s.exec(value) ?? [];
    if (name === undefined || content === undefined || content.includes('\0')) {
      return 'invalid environment string';
    }
    if (draft.environment.length >= maxEnvironment) {
      return 'too many environment strings';
    }
    // The first of one name wins, as in sshd.
    if (!draft.environment.some(([known]) => known === name)) {
      draft.environment.push([name, content]);
    }
    return undefined;
  },
  permitopen: destinations('permitOpen', false),
  permitlisten: destinations('permitListen', true),
  tunnel(draft, value) {
    if (!/^(?:any|[0-9]{1,9})$/.test(value)) {
      return 'invalid tun device';
    }
    draft.tunnel = value;
    return undefined;
  },
};

/** The names, for the reference. */
export const keyOptionNames: readonly string[] = [
  ...Object.keys(flags),
  ...Object.entries(flags).flatMap(([name, row]) => (row.mayNegate ? [`no-${name}`] : [])),
  ...Object.keys(values).map((name) => `${name}=`),
].sort();

/** Where the option list ends: the first blank outside quotes; undefined for an open quote. */
export function optionsEnd(line: string): number | undefined {
  let isQuoted = false;
  for (let at = 0; at < line.length; at++) {
    const character = line[at];
    if (character === '\\' && line[at + 1] === '"') {
      at++;
    } else if (character === '"') {
      isQuoted = !isQuoted;
    } else if (!isQuoted && (character === ' ' || character === '\t')) {
      return at;
    }
  }
  return isQuoted ? undefined : line.length;
}

/** The quoted value at `from`; only `\"` is an escape. */
function readQuoted(
  text: string,
  from: number,
): { readonly value: string; readonly end: number } | string {
  if (text[from] !== '"') {
    return 'missing start quote';
  }
  let value = '';
  let at = from + 1;
  let runFrom = at;
  while (at < text.length && text[at] !== '"') {
    if (text[at] === '\\' && text[at + 1] === '"') {
      value += `${text.slice(runFrom, at)}"`;
      at += 2;
      runFrom = at;
    } else {
      at++;
    }
  }
  if (at >= text.length) {
    return 'missing end quote';
  }
  return { value: value + text.slice(runFrom, at), end: at + 1 };
}

function applyFlag(draft: Draft, name: string): boolean {
  const isNegated = name.startsWith('no-') && !Object.hasOwn(flags, name);
  const plain = isNegated ? name.slice(3) : name;
  const row = Object.hasOwn(flags, plain) ? flags[plain] : undefined;
  if (row === undefined || (isNegated && !row.mayNegate)) {
    return false;
  }
  row.apply(draft, !isNegated);
  return true;
}

/** One option at `from`; its end, or why the line is spoilt. */
function parseOne(draft: Draft, text: string, from: number): number | string {
  const name = /^[A-Za-z0-9-]{1,32}/.exec(text.slice(from, from + 33))?.[0].toLowerCase() ?? '';
  const end = from + name.length;
  if (text[end] !== '=') {
    return applyFlag(draft, name) ? end : 'unknown key option';
  }
  const apply = Object.hasOwn(values, name) ? values[name] : undefined;
  if (apply === undefined) {
    return 'unknown key option';
  }
  const quoted = readQuoted(text, end + 1);
  if (typeof quoted === 'string') {
    return quoted;
  }
  return apply(draft, quoted.value) ?? quoted.end;
}

/** `text` is the option list alone, as `optionsEnd` cuts it. Empty items count for nothing. */
export function parseKeyOptions(text: string): ParsedOptions {
  const draft: Draft = {
    ...noOptions,
    environment: [],
    permitOpen: undefined,
    permitListen: undefined,
  };
  for (let at = 0; at < text.length; ) {
    const end = text[at] === ',' ? at : parseOne(draft, text, at);
    if (typeof end === 'string') {
      return { ok: false, reason: end };
    }
    if (end < text.length && text[end] !== ',') {
      return { ok: false, reason: 'unknown key option' };
    }
    at = end + 1;
  }
  if (draft.principals !== undefined && !draft.isCertAuthority) {
    return { ok: false, reason: 'principals without cert-authority' };
  }
  return { ok: true, options: Object.freeze(draft) };
}
