/**
 * What `-L`, `-R` and `-D` and the options of ssh_config(5) of the same purpose say: where to listen
 * and where to lead. Pure. Runs in: user.
 */

export type Listen =
  /** `bind`: null is the default, `` and `*` every address. */
  | { readonly is: 'tcp'; readonly bind: string | null; readonly port: number }
  | { readonly is: 'unix'; readonly path: string };

export type Target =
  | { readonly is: 'tcp'; readonly host: string; readonly port: number }
  | { readonly is: 'unix'; readonly path: string }
  /** Each connection says where, by SOCKS. */
  | { readonly is: 'socks' };

export interface Forward {
  readonly listen: Listen;
  readonly target: Target;
}

export type ForwardKind = 'local' | 'remote' | 'dynamic';

interface Field {
  readonly text: string;
  readonly isPath: boolean;
}

/** A socket's address has 108 bytes, the last of them NUL. */
const maxPathBytes = 107;
const maxHostChars = 255;

/**
 * `[bind:]port:host:hostport`, `[bind:]port:/socket`, `/socket:host:hostport`, `/socket:/socket`;
 * `[bind:]port` for `-D`, and for `-R` as well. A blank between the two halves is a colon, as in a
 * file. Null: none of these.
 */
export function parseForward(kind: ForwardKind, text: string): Forward | null {
  const fields = splitFields(text.trim().replace(/\s+/, ':'));
  if (!fields) return null;
  const [listen, rest] = takeListen(kind, fields) ?? [];
  if (!listen || !rest) return null;
  if (rest.length === 0) {
    return kind !== 'local' && listen.is === 'tcp' ? { listen, target: { is: 'socks' } } : null;
  }
  const target = kind === 'dynamic' ? null : targetOf(rest);
  return target && { listen, target };
}

/** The fields that say where to listen, and those behind them. */
function takeListen(kind: ForwardKind, fields: readonly Field[]): [Listen, Field[]] | null {
  const [first, second, ...others] = fields;
  if (!first) return null;
  if (first.isPath) {
    return [{ is: 'unix', path: first.text }, fields.slice(1)];
  }
  // One field less than with an address: `port:host:hostport`, `port:/socket`, `port`.
  const targetFields = fields.at(-1)?.isPath === true ? 1 : kind === 'dynamic' ? 0 : 2;
  const isSocks = kind === 'remote' && fields.length <= 2 && targetFields === 2;
  const hasBind = isSocks ? fields.length === 2 : fields.length > targetFields + 1;
  const port = portOf(hasBind ? second?.text : first.text, 0);
  if (port === null) return null;
  const bind = hasBind ? first.text : null;
  if (bind !== null && !isHost(bind) && bind !== '') return null;
  return [{ is: 'tcp', bind, port }, hasBind ? others : fields.slice(1)];
}

function targetOf(fields: readonly Field[]): Target | null {
  const [first, second] = fields;
  if (!first) return null;
  if (first.isPath) return fields.length === 1 ? { is: 'unix', path: first.text } : null;
  const port = portOf(second?.text, 1);
  if (fields.length !== 2 || port === null || !isHost(first.text)) return null;
  return { is: 'tcp', host: first.text, port };
}

function isHost(text: string): boolean {
  return text.length <= maxHostChars && /^[\x21-\x7e]+$/.test(text);
}

function portOf(text: string | undefined, least: number): number | null {
  const port = text !== undefined && /^\d{1,5}$/.test(text) ? Number(text) : -1;
  return port >= least && port <= 65535 ? port : null;
}

/** Fields between colons; an address in brackets and a path that begins with `/` are one. */
function splitFields(text: string): Field[] | null {
  const fields: Field[] = [];
  let rest = text;
  for (;;) {
    const match = /^(?:\[([^\]]*)\]|([^:]*))(?::|$)/s.exec(rest);
    if (!match) return null;
    const field = match[1] ?? match[2] ?? '';
    const isPath = match[1] === undefined && field.startsWith('/');
    if (isPath && (Buffer.byteLength(field) > maxPathBytes || field.includes('\0'))) return null;
    fields.push({ text: field, isPath });
    const hasMore = match[0].endsWith(':');
    rest = rest.slice(match[0].length);
    if (!hasMore) return rest === '' ? fields : null;
  }
}

/** As a person reads it. */
export function describeListen(listen: Listen): string {
  if (listen.is === 'unix') return listen.path;
  const { bind, port } = listen;
  if (bind === null) return `port ${port}`;
  return `${bind === '' ? '*' : bind} port ${port}`;
}

export function describeTarget(target: Target): string {
  if (target.is === 'socks') return 'SOCKS';
  if (target.is === 'unix') return target.path;
  return `${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`;
}
