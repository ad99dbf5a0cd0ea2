/**
 * UpdateHostKeys (OpenSSH PROTOCOL §2.5): a server that was known names all its keys after the login;
 * those that are new prove themselves over this session, those that it no longer names are to be
 * forgotten. Runs in: user.
 */
import { claimedAlgorithm, verify } from '../../../keys/signature.ts';
import { ProtocolError } from '../../base/errors.ts';
import { maxProvenHostKeys } from '../connection/host-keys.ts';
import { hostKeyAlgorithms } from '../wire/algorithms.ts';
import { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';
import { entriesOf, hostKeyType, type KnownHostEntry } from './known-hosts.ts';

export const announcementName = 'hostkeys-00@openssh.com';
const proofName = 'hostkeys-prove-00@openssh.com';

/** Of the session, what a proof needs. */
export interface Prover {
  readonly sessionId: Buffer;
  ask(name: string, data: Buffer): Promise<Buffer | undefined>;
}

/** Certificates and types that nobody here can check are left out. */
export function announcedKeys(fields: Reader): readonly Buffer[] {
  const keys: Buffer[] = [];
  while (fields.left > 0) {
    const blob = fields.string();
    const isPlain = hostKeyAlgorithms.some(
      ({ name, keyType }) => !name.includes('-cert-') && keyType === hostKeyType(blob),
    );
    if (isPlain && !keys.some((key) => key.equals(blob))) keys.push(Buffer.from(blob));
    if (keys.length > maxProvenHostKeys) throw new ProtocolError('too many host keys');
  }
  return keys;
}

/** Whether the server has the private half of each. */
export async function areProven(prover: Prover, blobs: readonly Buffer[]): Promise<boolean> {
  const asked = blobs.reduce((to, blob) => to.string(blob), new Writer()).done();
  const answer = await prover.ask(proofName, asked);
  if (!answer) return false;
  try {
    const from = new Reader(answer);
    const areRight = blobs.map((blob) => isProof(prover.sessionId, blob, from.string()));
    from.end();
    return areRight.every(Boolean);
  } catch (error) {
    if (error instanceof ProtocolError) return false;
    throw error;
  }
}

function isProof(sessionId: Buffer, blob: Buffer, signature: Buffer): boolean {
  const claimed = claimedAlgorithm(signature);
  const row = hostKeyAlgorithms.find(
    ({ name, keyType }) => name === claimed && keyType === hostKeyType(blob),
  );
  const signed = new Writer().text(proofName).string(sessionId).string(blob).done();
  return row !== undefined && verify(row.signature, blob, signature, signed);
}

export interface HostKeyChange {
  readonly learned: readonly Buffer[];
  readonly forgotten: readonly KnownHostEntry[];
}

/**
 * What the announcement changes in the files of the user; null: nothing, or more than a program
 * should decide, as in ssh: lines with patterns or markers, keys that go by other names too.
 */
export function changeOf(
  entries: readonly KnownHostEntry[],
  name: string,
  announced: readonly Buffer[],
): HostKeyChange | null {
  const own = entriesOf(entries, name);
  const isPlain = (entry: KnownHostEntry): boolean =>
    entry.marker === 'none' && !/[*?!,]/.test(entry.hosts);
  if (own.length === 0 || !own.every(isPlain)) return null;
  const isAnnounced = ({ blob }: KnownHostEntry): boolean =>
    announced.some((key) => key.equals(blob));
  // The key of this very login was announced too, or somebody else's list has come.
  if (!own.some(isAnnounced)) return null;
  const learned = announced.filter((key) => !own.some(({ blob }) => blob.equals(key)));
  const forgotten = own.filter((entry) => !isAnnounced(entry));
  const hasOtherNames = forgotten.some((old) =>
    entries.some((entry) => entry.blob.equals(old.blob) && !own.includes(entry)),
  );
  if (hasOtherNames || learned.length + forgotten.length === 0) return null;
  return { learned, forgotten };
}
