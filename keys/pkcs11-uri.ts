/**
 * Where a key of a token is (RFC 7512): `pkcs11:token=…;object=…;id=%01?module-path=…&pin-source=…`.
 * What would only be noted and not looked at is refused, as is a PIN: whoever may read the
 * configuration could read it. Pure. Runs in: monitor, launcher, user.
 */
import { ConfigError } from '../src/base/errors.ts';

export interface Pkcs11Uri {
  /** As it was written. */
  readonly text: string;
  /** Its path, for lines of the log. */
  readonly name: string;
  /** The label of the token. */
  readonly token: string | undefined;
  /** The label of the key. */
  readonly object: string | undefined;
  readonly id: Buffer | undefined;
  readonly modulePath: string | undefined;
  readonly pinSource: PinSource | undefined;
}

export type PinSource =
  | { readonly kind: 'file'; readonly path: string }
  /** A name in $CREDENTIALS_DIRECTORY (systemd.exec(5) LoadCredential=). */
  | { readonly kind: 'credential'; readonly name: string };

const scheme = 'pkcs11:';
const maxCharacters = 2048;
const maxIdBytes = 256;
const pathAttributes: readonly string[] = ['token', 'object', 'id'];
const queryAttributes: readonly string[] = ['module-path', 'pin-source'];
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function isPkcs11Uri(text: string): boolean {
  return text.slice(0, scheme.length).toLowerCase() === scheme;
}

function decoded(text: string): Buffer {
  // RFC 7512 §2.3: everything else is written as its bytes.
  if (!/^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=&/?|]|%[0-9A-Fa-f]{2})*$/.test(text)) {
    throw new ConfigError(`"${text}" has characters that are written as %XX in a pkcs11: URI`);
  }
  const bytes = text.replace(/%(..)/g, (_whole, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  return Buffer.from(bytes, 'latin1');
}

function decodedText(name: string, text: string): string {
  const refused = new ConfigError(`${name} of a pkcs11: URI is not a text`);
  let value: string;
  try {
    value = utf8.decode(decoded(text));
  } catch (error) {
    throw error instanceof ConfigError ? error : refused;
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (value === '' || /[\u0000-\u001f\u007f-\u009f]/.test(value)) {
    throw refused;
  }
  return value;
}

function attributesOf(part: string, separator: string, known: readonly string[]) {
  const values = new Map<string, string>();
  for (const attribute of part === '' ? [] : part.split(separator)) {
    const at = attribute.indexOf('=');
    const name = at < 0 ? attribute : attribute.slice(0, at);
    if (name === 'pin-value') {
      throw new ConfigError(
        'pin-value is not taken: others may read this file; use pin-source=file:/etc/sshdesk/hsm.pin, of root alone',
      );
    }
    if (at < 0 || !known.includes(name)) {
      const all = [...pathAttributes, ...queryAttributes].join(', ');
      throw new ConfigError(`"${name}" of a pkcs11: URI is not looked at (those are: ${all})`);
    }
    if (values.has(name)) {
      throw new ConfigError(`${name} stands twice in the pkcs11: URI`);
    }
    values.set(name, attribute.slice(at + 1));
  }
  return values;
}

function pinSourceOf(text: string): PinSource {
  const value = decodedText('pin-source', text);
  const [, kind, rest = ''] = /^(file|credential):(.*)$/s.exec(value) ?? [];
  if (kind === 'credential' && /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/.test(rest)) {
    return { kind, name: rest };
  }
  // RFC 8089: `file:/path`, `file:///path`.
  const path = rest.startsWith('///') ? rest.slice(2) : rest;
  if (kind !== 'file' || !/^\/(?!\/)/.test(path)) {
    throw new ConfigError(
      'pin-source is file: with an absolute path, or credential: with a name of systemd',
    );
  }
  return { kind, path };
}

/** Throws ConfigError with what is wrong. */
export function parsePkcs11Uri(text: string): Pkcs11Uri {
  if (!isPkcs11Uri(text) || text.length > maxCharacters) {
    throw new ConfigError(`not a pkcs11: URI of at most ${maxCharacters} characters`);
  }
  const [path = '', query = '', ...more] = text.slice(scheme.length).split('?');
  if (more.length > 0) {
    throw new ConfigError('a pkcs11: URI has one ?');
  }
  const own = attributesOf(path, ';', pathAttributes);
  const asked = attributesOf(query, '&', queryAttributes);
  const textOf = (values: ReadonlyMap<string, string>, name: string): string | undefined => {
    const value = values.get(name);
    return value === undefined ? undefined : decodedText(name, value);
  };
  const id = own.get('id');
  const idBytes = id === undefined ? undefined : decoded(id);
  if (idBytes !== undefined && (idBytes.length === 0 || idBytes.length > maxIdBytes)) {
    throw new ConfigError('id of the pkcs11: URI is empty or too long');
  }
  const modulePath = textOf(asked, 'module-path');
  if (modulePath !== undefined && !modulePath.startsWith('/')) {
    throw new ConfigError('module-path of the pkcs11: URI is not absolute');
  }
  const pin = asked.get('pin-source');
  return {
    text,
    name: `${scheme}${path}`,
    token: textOf(own, 'token'),
    object: textOf(own, 'object'),
    id: idBytes,
    modulePath,
    pinSource: pin === undefined ? undefined : pinSourceOf(pin),
  };
}
