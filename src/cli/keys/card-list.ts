/**
 * What is on the smart cards, for a person (a table), for authorized_keys, for programs (JSON).
 * Texts of a card are a stranger's. Runs in: user.
 */
import type { CardKey } from '../../../keys/pkcs11/card-keys.ts';
import type { CardSession } from '../../../keys/pkcs11/card-session.ts';
import { anyModule } from '../../../keys/pkcs11/known-modules.ts';
import { fingerprint, publicLine } from '../../../keys/public-key.ts';
import { shortNameOf } from '../../../keys/algorithms.ts';
import { Cards } from '../connect/cards.ts';
import { printableLine } from '../connect/printable.ts';
import { Interrupted, Terminal } from '../connect/terminal.ts';

export interface CardListing {
  /** Empty: those that are known. */
  readonly module: string;
  readonly isJson: boolean;
  readonly isPublic: boolean;
  readonly isLogin: boolean;
}

interface Row {
  readonly session: CardSession;
  readonly key: CardKey;
}

const listMs = 30_000;
const exitCodes = { done: 0, nothing: 1, interrupted: 130 } as const;

/** Gives the exit status; 1: there is no card, or what was asked for could not be read. */
export async function listCards(listing: CardListing): Promise<number> {
  const terminal = new Terminal(process.stderr);
  const choice = {
    module: listing.module === '' ? anyModule : listing.module,
    isBatch: false,
    listMs,
  };
  const cards = new Cards(choice, terminal);
  try {
    const read = await cards.read(listing.isLogin);
    const rows = read.flatMap(({ session, keys }) => keys.map((key) => ({ session, key })));
    process.stdout.write(textOf(rows, listing));
    for (const { session, keys } of listing.isJson || listing.isPublic ? [] : read) {
      if (session.wantsPin && keys.length === 0) {
        terminal.line(`${session.name} shows no keys without its PIN: --login asks for it`);
      }
    }
    if (read.length === 0 && !cards.hasFailed) terminal.line('there is no card in a reader');
    return read.length === 0 || cards.hasFailed ? exitCodes.nothing : exitCodes.done;
  } catch (error) {
    if (error instanceof Interrupted) return exitCodes.interrupted;
    throw error;
  } finally {
    terminal.restore();
    await cards.close();
  }
}

function textOf(rows: readonly Row[], { isJson, isPublic }: CardListing): string {
  if (isJson) return `${JSON.stringify(rows.map(jsonOf), undefined, 2)}\n`;
  if (isPublic) return rows.map(lineOf).join('');
  return rows.length === 0 ? '' : table(rows);
}

/** Of a comment in authorized_keys, where a newline would be another entry. */
function lineOf({ key }: Row): string {
  return `${publicLine(key.blob, printableLine(key.label))}\n`;
}

function jsonOf({ session, key }: Row): object {
  const { token, module } = session;
  const { certificate } = key;
  return {
    module: module.path,
    token: token.label,
    serial: token.serial,
    id: key.id.toString('hex'),
    label: key.label,
    type: key.type,
    bits: key.bits,
    fingerprint: fingerprint(key.blob),
    publicKey: publicLine(key.blob),
    certificate: certificate && {
      label: certificate.label,
      subject: certificate.subject,
      issuer: certificate.issuer,
      notAfter: certificate.notAfter.toISOString(),
    },
  };
}

const heading = ['CARD', 'ID', 'LABEL', 'TYPE', 'FINGERPRINT', 'CERTIFICATE'] as const;

function table(rows: readonly Row[]): string {
  const cells = rows.map(({ session, key }) =>
    [
      session.token.label,
      key.id.toString('hex'),
      key.label,
      `${shortNameOf(key.type)} ${key.bits}`,
      fingerprint(key.blob),
      certificateText(key),
    ].map((text) => printableLine(text) || '-'),
  );
  const lines = [[...heading], ...cells];
  const widths = heading.map((_, column) =>
    Math.max(...lines.map((line) => (line[column] as string).length)),
  );
  const draw = (line: readonly string[]) =>
    line
      .map((text, column) => text.padEnd(widths[column] as number))
      .join('  ')
      .trimEnd();
  return `${lines.map(draw).join('\n')}\n`;
}

function certificateText({ certificate }: CardKey): string {
  if (certificate === undefined) return '';
  const { subject, notAfter } = certificate;
  const verb = notAfter.getTime() < Date.now() ? 'expired' : 'until';
  return `${subject}, ${verb} ${notAfter.toISOString().slice(0, 10)}`;
}
