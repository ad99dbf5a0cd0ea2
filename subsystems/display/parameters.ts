/** The parameter grammar of the dialogue: `--name="value"` separated by blanks. Pure. */
export type Parameters = ReadonlyMap<string, string>;

export const maxParameters = 128;
const parameter = /--([A-Za-z][A-Za-z0-9_-]*)="([^"]*)"/y;
const blanks = /[ \t]*/y;

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** `%XX` to bytes, once; the result is read as UTF-8. What is no escape stays. */
export function unescapePercent(value: string): string {
  if (!value.includes('%')) {
    return value;
  }
  const bytes: Buffer[] = [];
  for (const part of value.split(/(%[0-9A-Fa-f]{2})/)) {
    const isEscape = /^%[0-9A-Fa-f]{2}$/.test(part);
    bytes.push(Buffer.from(isEscape ? part.slice(1) : part, isEscape ? 'hex' : 'utf8'));
  }
  return Buffer.concat(bytes).toString('utf8');
}

/**
 * Undefined: the text has another form. Names are lower-cased; a later duplicate wins. Clients of
 * the first generation separate by `&`.
 */
export function parseParameters(text: string): Parameters | undefined {
  const found = new Map<string, string>();
  let at = match(blanks, text, 0)?.[0].length ?? 0;
  while (at < text.length) {
    const one = match(parameter, text, at);
    if (one === null || found.size >= maxParameters) {
      return undefined;
    }
    found.set((one[1] as string).toLowerCase(), unescapePercent(one[2] as string));
    at += one[0].length;
    const gap = match(/[ \t]*&[ \t]*|[ \t]+/y, text, at)?.[0].length ?? 0;
    if (gap === 0 && at < text.length) {
      return undefined;
    }
    at += gap;
  }
  return found;
}

const secrets = /(--(?:[A-Za-z0-9_-]*password|cookie)=")[^"]*(")?/gi;

/** For the echo: values that are nobody's business. */
export function maskSecrets(text: string): string {
  return text.replace(secrets, '$1******$2');
}

export interface WantedGeometry {
  readonly width: number;
  readonly height: number;
  /** 0: not said. */
  readonly depth: number;
}

/**
 * `WxH`, `WxH+X+Y`, `WxHxD+render`; clients send nonsense such as `1024x768x2000`, so what follows
 * the size counts only where it is a depth. Undefined: no size in it.
 */
export function parseGeometry(text: string): WantedGeometry | undefined {
  const found = /^\s*(\d{1,6})x(\d{1,6})(?:x(\d{1,6}))?/i.exec(text);
  if (found === null) {
    return undefined;
  }
  const [width, height] = [Number(found[1]), Number(found[2])];
  const depth = Number(found[3] ?? 0);
  if (width === 0 || height === 0) {
    return undefined;
  }
  return { width, height, depth: [8, 16, 24, 32].includes(depth) ? depth : 0 };
}
