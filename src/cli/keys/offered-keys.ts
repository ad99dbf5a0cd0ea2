/**
 * The keys that `sshdesk keys add` is to add: of a file of public keys, of an X.509 certificate, of
 * cards. Runs in: user.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { DerError } from '../../../keys/der.ts';
import { readPem } from '../../../keys/pem.ts';
import type { CardKey } from '../../../keys/pkcs11/card-keys.ts';
import { anyModule } from '../../../keys/pkcs11/known-modules.ts';
import { fingerprint, parsePublicKey } from '../../../keys/public-key.ts';
import { readPublicLine } from '../../../keys/public-line.ts';
import { blobOfSpki } from '../../../keys/spki.ts';
import { readX509 } from '../../../keys/x509.ts';
import { ConfigError } from '../../base/errors.ts';
import { Cards } from '../connect/cards.ts';
import { printableLine } from '../connect/printable.ts';
import type { Terminal } from '../connect/terminal.ts';

export interface OfferedKey {
  readonly blob: Buffer;
  readonly comment: string;
}

const maxFileBytes = 256 * 1024;
const maxKeys = 64;
const listMs = 30_000;

function readBounded(file: string): Buffer {
  let descriptor: number;
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw new ConfigError(`${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile() || status.size > maxFileBytes) {
      throw new ConfigError(`${file}: not a file of at most ${maxFileBytes} bytes`);
    }
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function checked(place: string, blob: Buffer | undefined, comment: string): OfferedKey {
  const parsed = blob === undefined ? undefined : parsePublicKey(blob);
  if (blob === undefined || parsed?.ok !== true) {
    const why = parsed?.ok === false ? parsed.reason : 'not TYPE and base64';
    throw new ConfigError(`${place}: no public key of SSH: ${why}`);
  }
  return { blob, comment };
}

/** A .pub file, or several lines of such. */
export function keysOfFile(file: string): readonly OfferedKey[] {
  const content = readBounded(file);
  if (content.includes('PRIVATE KEY-----')) {
    throw new ConfigError(`${file}: a private key; its public half is ${file}.pub`);
  }
  const keys = content
    .toString('utf8')
    .split('\n')
    .map((line, index) => ({ line: line.trim(), place: `${file}:${index + 1}` }))
    .filter(({ line }) => line !== '' && !line.startsWith('#'))
    .map(({ line, place }) => {
      const comment = line.split(/[ \t]+/).slice(2);
      return checked(place, readPublicLine(Buffer.from(line, 'latin1')), comment.join(' '));
    });
  if (keys.length === 0 || keys.length > maxKeys) {
    throw new ConfigError(`${file}: not 1 to ${maxKeys} public keys`);
  }
  return keys;
}

/** PEM or DER; of a chain the first, which is its holder's. */
export function keyOfCertificate(file: string): OfferedKey {
  const content = readBounded(file);
  const [der] =
    content[0] === 0x30
      ? [content]
      : readPem(content, { label: 'CERTIFICATE', maxBlocks: maxKeys });
  if (der === undefined) {
    throw new ConfigError(`${file}: no certificate in it`);
  }
  try {
    const { spki, subject } = readX509(der);
    return checked(file, blobOfSpki(spki), subject.text);
  } catch (error) {
    if (error instanceof DerError) throw new ConfigError(`${file}: ${error.message}`);
    throw error;
  }
}

function isWanted(key: CardKey, wanted: string): boolean {
  return (
    key.label === wanted ||
    (key.id.length > 0 && key.id.toString('hex') === wanted.toLowerCase()) ||
    fingerprint(key.blob) === wanted
  );
}

/** `wanted`: a label, an id or a fingerprint; undefined: there is only one. */
export async function keyOfCard(
  module: string,
  wanted: string | undefined,
  isLogin: boolean,
  terminal: Terminal,
): Promise<OfferedKey> {
  const cards = new Cards(
    { module: module === '' ? anyModule : module, isBatch: false, listMs },
    terminal,
  );
  try {
    const read = await cards.read(isLogin);
    const all = read.flatMap(({ keys }) => keys);
    const fitting = all.filter((key) => wanted === undefined || isWanted(key, wanted));
    const [found, another] = fitting;
    if (found !== undefined && another === undefined) {
      return { blob: found.blob, comment: printableLine(found.label) };
    }
    const list = (found === undefined ? all : fitting)
      .map(({ id, label, blob }) => {
        return `\n  --key ${id.toString('hex')}  '${printableLine(label)}'  ${fingerprint(blob)}`;
      })
      .join('');
    if (all.length === 0) {
      throw new ConfigError(
        'no card shows a key; --login asks for the PIN of cards that hide them',
      );
    }
    throw new ConfigError(
      found === undefined ? `no such key; there are:${list}` : `which of these keys?${list}`,
    );
  } finally {
    await cards.close();
  }
}
